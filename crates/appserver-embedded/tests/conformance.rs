//! The ports' conformance suite on a real SQLite file, seen by two processes.

mod support;

use openadp_appserver::conformance;
use support::Node;

macro_rules! parts {
    ($($part:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $part() {
            let node = Node::new().await;
            conformance::$part(&node).await;
            node.stop().await;
        }
    )+ };
}

parts!(
    call_centers,
    call_limits,
    call_services,
    calls,
    conferences,
    credentials,
    custom_directories,
    devices,
    directory,
    feed,
    forwarding,
    garbage,
    mailboxes,
    messages,
    mobiles,
    no_answer,
    parking,
    phone_lists,
    pick_ups,
    places,
    push_registrations,
    recalls,
    recording,
    request_ids,
    searches,
    selections,
    services,
    subscriptions,
    transfers,
    two_processes,
);
