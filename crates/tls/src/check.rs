//! Checks of a change: no interface may be left without a suite, a protocol or a certificate that works.

use crate::levels::{
    EffectiveTls, InterfaceKind, InterfaceRef, Level, List, context_of, resolve, resolve_at,
};
use crate::suites;
use openadp_settings::{Problem, Snapshot};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// What the lists of an interface leave to negotiate.
#[derive(Debug, Clone)]
pub(crate) struct Negotiable {
    /// Suites in the list's order, TLS 1.3's included.
    pub(crate) suites: Vec<SupportedCipherSuite>,
    /// Versions for which there is a suite.
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
}

/// What this build can negotiate of the lists.
///
/// TLS 1.3's suites follow the list when it names any of them; when it names none, they are all offered while TLSv1.3 is
/// enabled.
pub(crate) fn negotiable(effective: &EffectiveTls) -> Negotiable {
    let names = &effective.ciphers.value;
    let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    if !names.iter().any(|name| suites::is_tls13(name)) {
        let tls13 = suites::SUITES.iter().map(|suite| suite.name).filter(|name| suites::is_tls13(name));
        wanted.splice(0..0, tls13);
    }
    let versions: Vec<_> =
        effective.protocols.value.iter().filter_map(|name| suites::version(name)).collect();
    let mut suites: Vec<SupportedCipherSuite> = Vec::new();
    for suite in wanted.into_iter().filter_map(suites::supported) {
        if versions.contains(&suite.version()) && !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    let versions = versions
        .into_iter()
        .filter(|version| suites.iter().any(|suite| suite.version() == *version))
        .collect();
    Negotiable { suites, versions }
}

/// Full path of the context that supplies a list, for the operator.
fn supplier(list: List, level: Level) -> String {
    context_of(list, level).map_or_else(|| level.to_string(), openadp_settings::Context::full_path)
}

fn problems(effective: &EffectiveTls, who: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let protocols = &effective.protocols;
    if !protocols.value.iter().any(|name| suites::version(name).is_some()) {
        problems.push(
            Problem::new(
                supplier(List::Protocols, protocols.from),
                format!("{who} would be left without a protocol that can be negotiated"),
            )
            .parameter("protocol")
            .hint("add TLSv1.2 or TLSv1.3")
            .forceable(),
        );
    } else if negotiable(effective).suites.is_empty() {
        problems.push(
            Problem::new(
                supplier(List::Ciphers, effective.ciphers.from),
                format!("{who} would be left without a cipher suite that can be negotiated"),
            )
            .parameter("cipher")
            .hint("add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, or the protocol TLSv1.3")
            .forceable(),
        );
    }
    problems
}

/// What keeps a secure interface from shaking hands with anybody; empty when all is well.
///
/// The listener calls it for every secure interface of its tables; `names` are those that clients know it by, none where
/// they are not known. A certificate that has none of them is a problem that can be forced.
pub fn check_interface(snapshot: &Snapshot, interface: &InterfaceRef, names: &[String]) -> Vec<Problem> {
    let mut found = problems(&resolve(snapshot, interface), &format!("the interface {interface}"));
    found.extend(crate::certificates::check(snapshot, interface, names));
    found
}

/// The common levels by themselves: what a kind of interface inherits must be able to shake hands.
pub(crate) fn check_common(snapshot: &Snapshot) -> Vec<Problem> {
    [InterfaceKind::Http, InterfaceKind::Cti]
        .into_iter()
        .flat_map(|kind| {
            let level = Level::Kind(kind);
            let effective = EffectiveTls {
                protocols: resolve_at(snapshot, List::Protocols, level, kind),
                ciphers: resolve_at(snapshot, List::Ciphers, level, kind),
            };
            problems(&effective, &format!("every {} interface without lists of its own", kind.name()))
        })
        .fold(Vec::new(), |mut all, problem| {
            // Both kinds may inherit one bad list; say it once a list.
            if !all.iter().any(|known: &Problem| known.context == problem.context) {
                all.push(problem);
            }
            all
        })
}
