//! The whole application against stand-ins of APNs and FCM, over real TLS.

mod answers;
pub(crate) mod bench;
mod cloud;
mod connections;
mod credentials;
mod delivery;
mod edge;
