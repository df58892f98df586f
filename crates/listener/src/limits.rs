//! Limits of a kind of interface, and the counting of open connections against them.

use crate::{CtiGeneralSettings, HttpGeneralSettings};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits of all interfaces of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time that connections have to finish when told to.
    pub drain_timeout: Duration,
    /// Time that a client has for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Silence after which the operating system probes the peer.
    pub keepalive: Duration,
    /// Connections open at once.
    pub max_connections: u32,
    /// Connections open at once from one address, or one IPv6 network of 64 bits.
    pub max_connections_per_address: u32,
}

impl From<&HttpGeneralSettings> for Limits {
    fn from(settings: &HttpGeneralSettings) -> Self {
        Self {
            drain_timeout: Duration::from_secs(settings.drain_timeout_secs.into()),
            handshake_timeout: Duration::from_secs(settings.handshake_timeout_secs.into()),
            keepalive: Duration::from_secs(settings.keepalive_secs.into()),
            max_connections: settings.max_connections,
            max_connections_per_address: settings.max_connections_per_address,
        }
    }
}

impl From<&CtiGeneralSettings> for Limits {
    fn from(settings: &CtiGeneralSettings) -> Self {
        Self {
            drain_timeout: Duration::from_secs(settings.drain_timeout_secs.into()),
            handshake_timeout: Duration::from_secs(settings.handshake_timeout_secs.into()),
            keepalive: Duration::from_secs(settings.keepalive_secs.into()),
            max_connections: settings.max_connections,
            max_connections_per_address: settings.max_connections_per_address,
        }
    }
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many from this address.
    Address,
    /// Too many altogether.
    Total,
}

impl Refusal {
    /// Label of the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Address => "address_limit",
            Self::Total => "total_limit",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    by_network: HashMap<IpAddr, u32>, // bounded by `total`: an entry goes with its last connection
}

/// Open connections of a kind of interface.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Counts>);

impl Counter {
    /// How many are open.
    pub(crate) fn total(&self) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(counts.total).unwrap_or(usize::MAX)
    }

    /// Counts one more connection, unless a limit is reached.
    pub(crate) fn open(self: &Arc<Self>, peer: IpAddr, limits: &Limits) -> Result<Permit, Refusal> {
        let network = network(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= limits.max_connections {
            return Err(Refusal::Total);
        }
        let from_network = counts.by_network.get(&network).copied().unwrap_or_default();
        if from_network >= limits.max_connections_per_address {
            return Err(Refusal::Address);
        }
        counts.total += 1;
        counts.by_network.insert(network, from_network + 1);
        Ok(Permit { counter: self.clone(), network })
    }
}

/// One counted connection; dropping it counts it off.
#[derive(Debug)]
pub(crate) struct Permit {
    counter: Arc<Counter>,
    network: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counter.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.by_network.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

/// What counts as one peer: an IPv4 address, or the /64 network of an IPv6 one, since a host has all of that.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: u32, per_address: u32) -> Limits {
        Limits {
            drain_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(1),
            keepalive: Duration::from_mins(1),
            max_connections: total,
            max_connections_per_address: per_address,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn limits_hold_and_permits_come_back() {
        let counter = Arc::new(Counter::default());
        let limits = limits(3, 2);
        let one = counter.open(ip("192.0.2.1"), &limits).unwrap();
        let _two = counter.open(ip("::ffff:192.0.2.1"), &limits).unwrap();
        assert_eq!(counter.open(ip("192.0.2.1"), &limits).unwrap_err(), Refusal::Address);
        let _three = counter.open(ip("192.0.2.2"), &limits).unwrap();
        assert_eq!(counter.open(ip("192.0.2.3"), &limits).unwrap_err(), Refusal::Total);
        drop(one);
        let _four = counter.open(ip("192.0.2.1"), &limits).unwrap();
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let counter = Arc::new(Counter::default());
        let limits = limits(10, 1);
        let held = counter.open(ip("2001:db8::1"), &limits).unwrap();
        assert_eq!(counter.open(ip("2001:db8::2"), &limits).unwrap_err(), Refusal::Address);
        counter.open(ip("2001:db8:0:1::2"), &limits).unwrap();
        drop(held);
        assert!(counter.0.lock().unwrap().by_network.is_empty());
    }
}
