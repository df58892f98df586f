//! Where everything of a lab lies: its folder and its ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The lab listens here and nowhere else.
pub(crate) const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Ports of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ports {
    /// The applications over HTTPS, NotificationPushServer excepted.
    pub(crate) https: u16,
    /// CTI in clear.
    pub(crate) cti: u16,
    /// CTI with client certificates.
    pub(crate) cti_tls: u16,
    /// NotificationPushServer.
    pub(crate) nps: u16,
    /// Metrics of the host.
    pub(crate) metrics: u16,
    /// Metrics of NotificationPushServer's own process.
    pub(crate) nps_metrics: u16,
    /// Stand-in of APNs.
    pub(crate) apns: u16,
    /// Stand-in of FCM and its token service.
    pub(crate) fcm: u16,
    /// Stand-in of the identity cloud.
    #[serde(default = "Ports::default_identity")]
    pub(crate) identity: u16,
}

impl Ports {
    /// The well-known ports of the suite.
    pub(crate) const DEFAULT: Self = Self {
        https: 8443,
        cti: 8011,
        cti_tls: 8012,
        nps: 9443,
        metrics: 9090,
        nps_metrics: 9091,
        apns: 9446,
        fcm: 9447,
        identity: Self::IDENTITY,
    };
    const IDENTITY: u16 = 9448;

    /// What a lab has that was made before there was an identity cloud.
    fn default_identity() -> u16 {
        Self::IDENTITY
    }

    /// Nine ports in a row.
    pub(crate) fn from_base(base: u16) -> Option<Self> {
        base.checked_add(8).filter(|_| base > 0).map(|_| Self {
            https: base,
            cti: base + 1,
            cti_tls: base + 2,
            nps: base + 3,
            metrics: base + 4,
            nps_metrics: base + 5,
            apns: base + 6,
            fcm: base + 7,
            identity: base + 8,
        })
    }
}

/// A lab's folder and ports.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Everything that the lab writes lies below this absolute path.
    pub(crate) data_dir: PathBuf,
    /// Its ports.
    pub(crate) ports: Ports,
}

impl Plan {
    /// An address of the lab.
    pub(crate) fn address(port: u16) -> SocketAddr {
        SocketAddr::from((LOOPBACK, port))
    }
    /// `https://127.0.0.1:PORT` followed by a path.
    pub(crate) fn https(port: u16, path: &str) -> String {
        format!("https://{LOOPBACK}:{port}{path}")
    }
    /// Folder of the lab's authority, its certificates and keys.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.data_dir.join("lab/certificates")
    }
    /// What the seed made: accounts, passwords, ports. Written last, so that its presence means a complete seed.
    pub(crate) fn seed_file(data_dir: &Path) -> PathBuf {
        data_dir.join("lab/seed.json")
    }
}
