//! Settings of making keys by themselves, and of the nodes that share the ring. cli.md 5.5, authservice.md 9

use crate::KeyType;
use openadp_settings::{Context, Kind, Parameter, Problem, Secret, Settings, Snapshot, Tree, context};
use std::net::IpAddr;

/// Fewest days between two rotations: a key verifies for 180 days after it signed last, and the ring has a bound.
const MIN_PERIOD_DAYS: u32 = 7;
/// Fewest characters of the peers' secret: the exported ring is encrypted under it.
const MIN_SECRET: usize = 16;

context! {
    /// What kind of keys is made, and when by itself. A key is published first, so that every node can verify with it, and
    /// signs only at the end of the period.
    pub struct Rotation = Context::single(Tree::Adp, "Applications/AuthenticationService/KeyManagement/Rotation")
        .aliases(&["Applications/AuthService/KeyManagement/Rotation"]) => {
        /// Kind of the first key, of those made by the schedule, and of those made by commands that name none: RSA signs with
        /// RS256, RSA-PSS with PS256, P-256 with ES256.
        pub key_type: String = Parameter::new("keyType", Kind::Choice(&KeyType::WORDS)).default("RSA-2048");
        /// Days after which a new key signs; 0 never rotates by itself, otherwise at least 7.
        pub period_in_days: u32 =
            Parameter::new("rotationPeriodInDays", Kind::integer(0, 365)).default("0").unit("days");
        /// Time that a new key only verifies before it signs.
        pub publication_in_hours: u32 =
            Parameter::new("publicationInHours", Kind::integer(0, 720)).default("24").unit("hours");
    }
}

context! {
    /// How the nodes below Peers prove themselves to each other.
    pub struct PeerAccess = Context::single(Tree::Adp, "Applications/AuthenticationService/KeyManagement/PeerAccess")
        .aliases(&["Applications/AuthService/KeyManagement/PeerAccess"]) => {
        /// Secret that all nodes of the farm have, at least 16 characters. Without one, no other machine learns keys or has tokens
        /// validated here.
        pub secret: Secret = Parameter::new("peerSecret", Kind::secret(256));
        /// Time between two looks at what keys the peers hold.
        pub poll_in_seconds: u32 =
            Parameter::new("pollPeriodInSeconds", Kind::integer(1, 3600)).default("30").unit("seconds");
    }
}

context! {
    /// The other nodes that share the ring. Keys are exchanged with them; while one holds no key of a rotation, it is not
    /// promoted; the first key is made only when all of them agree.
    pub struct Peer = Context::table(Tree::Adp, "Applications/AuthenticationService/KeyManagement/Peers")
        .aliases(&["Applications/AuthService/KeyManagement/Peers"]) => {
        /// URL of the node's AuthenticationService, https://xsp2.example.net/authService say; http only on this machine.
        pub url: String = Parameter::new("url", Kind::Url(&["https", "http"])).header("URL").key().left();
    }
}

/// Whether a URL stays on this machine.
fn is_loopback(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    let rotation = snapshot.get::<Rotation>();
    if (1..MIN_PERIOD_DAYS).contains(&rotation.period_in_days) {
        problems.push(
            Problem::new(Rotation::CONTEXT.full_path(), "keys verify for 180 days, and the ring has a bound")
                .parameter("rotationPeriodInDays")
                .hint("0, or 7 to 365"),
        );
    }
    if rotation.period_in_days > 0 && rotation.publication_in_hours >= rotation.period_in_days * 24 {
        problems.push(
            Problem::new(Rotation::CONTEXT.full_path(), "a key would be published for longer than it signs")
                .parameter("publicationInHours"),
        );
    }
    let secret = snapshot.get::<PeerAccess>().secret;
    if !secret.is_empty() && secret.expose().chars().count() < MIN_SECRET {
        problems.push(
            Problem::new(PeerAccess::CONTEXT.full_path(), "the secret protects private keys on their way")
                .parameter("peerSecret")
                .hint(format!("at least {MIN_SECRET} characters")),
        );
    }
    let peers = snapshot.rows::<Peer>();
    if !peers.is_empty() && secret.is_empty() {
        problems.push(
            Problem::new(Peer::CONTEXT.full_path(), "peers need a secret to prove themselves by")
                .hint("set peerSecret in PeerAccess first, the same on every node"),
        );
    }
    for peer in peers.iter().filter(|peer| peer.url.starts_with("http:") && !is_loopback(&peer.url)) {
        problems.push(
            Problem::new(Peer::CONTEXT.full_path(), format!("{} leaves this machine without TLS", peer.url))
                .parameter("url")
                .hint("https"),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for near in ["http://127.0.0.1:8080/authService", "http://localhost/x", "http://[::1]:80/x"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in ["http://192.0.2.1/x", "http://127.0.0.1.example.net/", "http://localhost.example/", "x"] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
