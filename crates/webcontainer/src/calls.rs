//! Calls to other nodes, by the settings of outgoing connections.

use openadp_outgoing::{Addresses, Calls, Connector};
use openadp_settings::Store;
use openadp_tls::{ClientUse, Tls};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Calls to nodes of ours, also at private addresses and over HTTP without TLS where an operator gave such a URL.
/// `always_check_name`: whatever the settings say, as where tokens and keys travel.
pub fn calls_to_nodes(
    store: &Arc<Store>,
    tls: Arc<Tls>,
    always_check_name: bool,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) -> Calls {
    let usage = ClientUse { always_check_name, ..ClientUse::HTTP };
    let source = move || tls.client_config(usage).map_err(std::io::Error::other);
    let followed = store.clone();
    let rules = move || Addresses::of(&followed.current(), false).with_plain();
    Calls::new(Connector::new(Arc::new(source), rules), tasks, shutdown)
}
