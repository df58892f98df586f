//! Which applications answer on which interface; cli.md 5.1.

use crate::ConnectionInfo;
use arc_swap::ArcSwap;
use openadp_settings::{Context, Kind, Parameter, Store, Tree, context};
use std::net::IpAddr;
use std::sync::Arc;

context! {
    /// Which applications answer on which interface. An interface without an entry here has all of them; one with entries
    /// has those only, and knows no path of another.
    pub struct HttpBinding = Context::table(Tree::Adp, "Interface/Http/HttpBinding") => {
        /// Address of the interface.
        pub interface_ip: IpAddr = Parameter::new("interfaceIp", Kind::IpAddress).header("Interface Ip").key();
        /// Port of the interface.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65_535)).header("Port").key();
        /// Name of the application, Xsi-Actions say; not its path.
        pub application: String =
            Parameter::new("applicationName", Kind::text(1, 80)).header("Application Name").key();
    }
}

/// The bindings, read once per revision.
pub(crate) struct Bindings {
    store: Arc<Store>,
    rows: ArcSwap<(u64, Vec<HttpBinding>)>,
}

impl Bindings {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let current = store.current();
        Self { rows: ArcSwap::from_pointee((current.revision(), current.rows())), store }
    }

    /// Whether the application answers on the interface of this connection.
    pub(crate) fn serve(&self, info: &ConnectionInfo, application: &str) -> bool {
        let current = self.store.current();
        let mut held = self.rows.load_full();
        if held.0 != current.revision() {
            held = Arc::new((current.revision(), current.rows()));
            self.rows.store(held.clone());
        }
        let mut bound = held
            .1
            .iter()
            .filter(|row| row.interface_ip == info.interface.address && row.port == info.interface.port)
            .peekable();
        bound.peek().is_none() || bound.any(|row| row.application.eq_ignore_ascii_case(application))
    }
}
