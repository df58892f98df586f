//! What a client certificate makes of a connection (cti.md 4.3).

use crate::settings::{CertificateAuthentication, ClientIdentity};
use openadp_settings::{Settings, Snapshot};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The other end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Number of the connection, for logs.
    pub(crate) connection: u64,
    /// Whether a client certificate was verified in the handshake.
    pub(crate) certified: bool,
    /// Common name of its subject; never an alternative name.
    pub(crate) common_name: Option<String>,
    /// Where it came from.
    pub(crate) address: Option<IpAddr>,
    /// Channels that are open or being opened.
    pub(crate) channels: AtomicUsize,
}

/// The place of one channel among those of a connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct ChannelPlace(Arc<Peer>);

impl ChannelPlace {
    /// Takes a place, if fewer than `most` are taken.
    pub(crate) fn take(peer: &Arc<Peer>, most: usize) -> Option<Self> {
        let place = Self(peer.clone());
        (peer.channels.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for ChannelPlace {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the certificate is worth now; the settings may change while the connection is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No certificate, or client applications are not allowed: user credentials are needed.
    Anonymous,
    /// A listed client application.
    ClientApplication(String),
    /// A verified certificate that is not listed.
    Unlisted,
}

impl Peer {
    /// Its standing under the settings of a snapshot.
    pub(crate) fn standing(&self, snapshot: &Snapshot) -> Standing {
        if !self.certified || !snapshot.get::<CertificateAuthentication>().allow_client_app {
            return Standing::Anonymous;
        }
        match &self.common_name {
            Some(name) if snapshot.row(ClientIdentity::CONTEXT, &[name]).is_some() => {
                Standing::ClientApplication(name.clone())
            }
            _ => Standing::Unlisted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MODULE;
    use openadp_settings::{Author, Change, Edit, Registry, Store};
    use time::macros::datetime;

    fn store(edits: Vec<Edit>) -> Arc<Store> {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let change = Change { author: Author("test".into()), comment: None, edits, force: false };
        store.commit(&change, datetime!(2026-11-21 12:00 UTC)).expect("accepted");
        store
    }

    fn allow() -> Edit {
        Edit::Set {
            context: CertificateAuthentication::CONTEXT.full_path(),
            key: Vec::new(),
            values: [("allowClientApp".to_owned(), Some("true".to_owned()))].into(),
        }
    }

    fn list() -> Edit {
        Edit::Add {
            context: ClientIdentity::CONTEXT.full_path(),
            values: [("commonName".to_owned(), "cti.lab.invalid".to_owned())].into(),
        }
    }

    #[test]
    fn only_listed_names_and_only_when_allowed() {
        let peer = |certified: bool, name: Option<&str>| Peer {
            certified,
            common_name: name.map(str::to_owned),
            ..Peer::default()
        };
        let both = store(vec![allow(), list()]).current();
        assert_eq!(
            peer(true, Some("CTI.lab.invalid")).standing(&both),
            Standing::ClientApplication("CTI.lab.invalid".into())
        );
        assert_eq!(peer(true, Some("other.invalid")).standing(&both), Standing::Unlisted);
        assert_eq!(peer(true, None).standing(&both), Standing::Unlisted);
        assert_eq!(peer(false, None).standing(&both), Standing::Anonymous);
        assert_eq!(peer(false, Some("cti.lab.invalid")).standing(&both), Standing::Anonymous);
        assert_eq!(
            peer(true, Some("cti.lab.invalid")).standing(&store(vec![list()]).current()),
            Standing::Anonymous
        );
    }

    #[test]
    fn places_are_given_back() {
        let peer = Arc::new(Peer::default());
        let one = ChannelPlace::take(&peer, 1).expect("free");
        assert!(ChannelPlace::take(&peer, 1).is_none());
        drop(one);
        assert!(ChannelPlace::take(&peer, 1).is_some());
    }
}
