//! NotificationPushServer: call pushes to APNs and FCM.
//!
//! The application server posts notifications below `/nps` (`protocols/nps.md` 4); each is pushed to the phones that it
//! names, through Apple's and Google's services, and the result of every push goes back in the answer.
//!
//! - `wire/`: the application server's JSON, bytes to types and back;
//! - `http/`: routes, peers, status codes;
//! - `service/`: the rules of delivery (deadlines, duplicates, order, retries, dead tokens), over the port
//! - `gateway/`: the port to push providers and its adapters APNs and FCM: payloads, credentials (own ones, and those that a
//!   cloud service gives), what answers mean;
//! - `transport/`: pooled HTTP/2 over TLS to the providers;
//! - `settings.rs`, `cloud_settings.rs`, `configuration.rs`: declarations, and their parsed form at one revision.
//!
//! It must not share a server with other applications, because their load would delay pushes: [`APPLICATION`] says so.

mod cloud_settings;
mod configuration;
mod error;
mod events;
mod gateway;
mod http;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use cloud_settings::{CiscoCi, CiscoCiClient, CloudNpsService};
pub use settings::{
    AccessClient, AccessControl, ApnsAuthKey, ApnsDevelopment, ApnsGeneral, ApnsProduction, DevelopmentToken,
    Fcm, FcmApplication, FcmProject, General, MODULE, ProductionToken,
};

use configuration::Configurations;
use gateway::{apns::Apns, cloud::CloudTokens, fcm::Fcm as FcmGateway};
use openadp_appserver::Clock;
use openadp_identity::{ClientNeeds, CloudClient};
use openadp_outgoing::{Addresses, Connector};
use openadp_settings::{Module, Store};
use openadp_tls::ClientUse;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount, Refused};
use service::{Deps, Service};
use std::io;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Name of the application, as operators know it.
const NAME: &str = "NotificationPushServer";

/// The application, for a host.
pub const APPLICATION: ApplicationSpec =
    ApplicationSpec { name: NAME, modules: MODULES, needs_application_server: false, exclusive: true, build };

const MODULES: &[Module] = &[MODULE, openadp_identity::MODULE, openadp_outgoing::MODULE];

/// Most bytes of a provider's answer; they have a few hundred.
const MAX_ANSWER: usize = 64 * 1024;

#[expect(clippy::unnecessary_wraps, reason = "the signature is the container's")]
fn build(host: &Host) -> Result<Application, BuildError> {
    let tls = host.tls.clone();
    let router = router(Needs {
        store: host.store.clone(),
        clock: host.clock.clone(),
        // Providers' names are always checked, whatever the settings say.
        tls: Arc::new(move || tls.client_config(ClientUse::HTTP2.strict()).map_err(io::Error::other)),
        tasks: host.tasks.clone(),
        shutdown: host.shutdown.clone(),
    });
    Ok(Application { name: NAME, mounts: vec![Mount::new("/nps", router).refuses_with(locked)] })
}

/// What is refused while the node is locked: the application server tries another one.
fn locked(_request: &Refused<'_>) -> (&'static str, bytes::Bytes) {
    ("application/json", bytes::Bytes::from_static(br#"{"error":"locked"}"#))
}

/// What speaks against a notification's body, each as `field reason`; nothing if it is a good one. For tools and fuzzers:
/// the application itself reads bodies the same way.
pub fn notification_problems(body: &[u8]) -> Vec<String> {
    let problem = |problem: wire::SchemaProblem| format!("{} {}", problem.field, problem.reason);
    wire::Notification::parse(body)
        .map_or_else(|problems| problems.into_iter().map(problem).collect(), |_| Vec::new())
}

/// What the application needs from its process.
pub struct Needs {
    /// The settings; [`MODULE`] and those of `outgoing` and `identity` must be among their declarations.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// TLS for connections to the providers, with the trust anchors of now. Asked for at every new connection.
    pub tls: Arc<dyn Fn() -> io::Result<Arc<rustls::ClientConfig>> + Send + Sync>,
    /// All tasks run in here.
    pub tasks: TaskTracker,
    /// Cancelled when the process is to end: pushes under way finish, idle connections close.
    pub shutdown: CancellationToken,
}

/// The routes of the application, without a container around them.
pub fn router(needs: Needs) -> axum::Router {
    let (tasks, shutdown) = (needs.tasks.clone(), needs.shutdown.clone());
    let (router, cloud) = compose(needs);
    drop(tasks.spawn(cloud.work(shutdown)));
    router
}

/// The routes, and what is to be kept fresh for them.
fn compose(needs: Needs) -> (axum::Router, CloudTokens) {
    let Needs { store, clock, tls, tasks, shutdown } = needs;
    let names = store.clone();
    let configurations = Arc::new(Configurations::new(store.clone()));
    let client = CloudClient::new(ClientNeeds {
        clock: clock.clone(),
        shutdown: shutdown.clone(),
        store: store.clone(),
        tasks: tasks.clone(),
        ticks: Arc::new(tokio::time::Instant::now),
        tls: tls.clone(),
    });
    let cloud = CloudTokens::new(client, clock.clone(), configurations.clone(), store);
    let connector = Arc::new(Connector::new(tls, move || Addresses::of(&names.current(), false)));
    let apns = Apns::new(
        configurations.clone(),
        connector.clone(),
        clock.clone(),
        cloud.clone(),
        tasks.clone(),
        shutdown.clone(),
    );
    let fcm = FcmGateway::new(
        configurations.clone(),
        connector,
        clock.clone(),
        cloud.clone(),
        tasks.clone(),
        shutdown,
    );
    let service = Service::new(Deps {
        configurations: configurations.clone(),
        apns: Arc::new(apns),
        fcm: Arc::new(fcm),
        clock,
        tasks,
    });
    (http::router(http::Edge { cloud: cloud.clone(), configurations, service }), cloud)
}
