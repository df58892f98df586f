//! AuthenticationService: long-lived tokens and their validation.
//!
//! A client proves a user with user id and password and sends a public key; it gets the user's long-lived token wrapped for
//! that key (`/authService/token`). Hosts without a key ring ask about tokens (`/validate`) and for public keys (`/keys`),
//! both from this machine only.
//!
//! - `wire/`: parameters, credentials as presented, the error table;
//! - `service/`: minting, validation, the nodes of a farm;
//! - `http/`: methods, status codes, headers.
//!
//! Follows `protocols/authservice.md`, sections 3, 4, 7, 10 and 11. Users of an identity cloud
//! prove themselves with its access tokens (section 5).

mod http;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use settings::{AllowedOrigin, CertificateCaller, MODULE, TokenLimits};

use openadp_identity::{Identities, Needs, Purpose};
use openadp_settings::Module;
use openadp_tls::ClientUse;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount, Refused, calls_to_nodes};
use std::sync::Arc;
use std::time::Duration;

/// Name of the application, as operators know it.
const NAME: &str = "AuthenticationService";

/// The application, for a host.
pub const APPLICATION: ApplicationSpec =
    ApplicationSpec { name: NAME, modules: MODULES, needs_application_server: true, exclusive: false, build };

const MODULES: &[Module] = &[
    MODULE,
    openadp_identity::MODULE,
    openadp_outgoing::MODULE,
    openadp_token::MODULE,
    openadp_keystore::MODULE,
];

fn build(host: &Host) -> Result<Application, BuildError> {
    let ports = host.require_ports()?;
    let tls = host.tls.clone();
    let identities = Identities::new(Needs {
        clock: host.clock.clone(),
        credentials: ports.credentials,
        logins: ports.logins,
        purpose: Purpose::Users,
        shutdown: host.shutdown.clone(),
        store: host.store.clone(),
        tasks: host.tasks.clone(),
        ticks: Arc::new(tokio::time::Instant::now),
        // Providers' names are always checked, whatever the settings say.
        tls: Arc::new(move || tls.client_config(ClientUse::HTTP.strict()).map_err(std::io::Error::other)),
    });
    drop(host.tasks.spawn(identities.clone().work(host.shutdown.clone())));
    let (tasks, shutdown) = (host.tasks.clone(), host.shutdown.clone());
    let calls = calls_to_nodes(&host.store, host.tls.clone(), true, tasks, shutdown);
    let farm = service::Farm::new(
        &host.store,
        host.keystore.clone(),
        host.clock.clone(),
        host.data_dir.clone(),
        host.tasks.clone(),
        Some(calls),
    );
    host.tasks.spawn(farm.clone().run(host.shutdown.clone()));
    let edge = compose(
        host.authenticator.clone(),
        host.clock.clone(),
        farm,
        identities,
        host.keystore.clone(),
        &host.store,
    );
    let mount = Mount::new("/authService", http::router(edge)).refuses_with(locked);
    Ok(Application { name: NAME, mounts: vec![mount] })
}

/// What is refused while the node is locked: clients try another one.
fn locked(request: &Refused<'_>) -> (&'static str, bytes::Bytes) {
    let body = serde_json::to_vec(&wire::Refusal::Unavailable.body(request.id)).unwrap_or_default();
    ("application/json", body.into())
}

fn compose(
    authenticator: openadp_webcontainer::Authenticator,
    clock: Arc<dyn openadp_appserver::Clock>,
    farm: service::Farm,
    identities: Identities,
    keystore: Arc<openadp_keystore::KeyStore>,
    store: &Arc<openadp_settings::Store>,
) -> http::Edge {
    let settings = store.live();
    http::Edge {
        authenticator: authenticator.clone(),
        farm: farm.clone(),
        in_progress: Arc::default(),
        keys: http::ClientKeys::default(),
        identities,
        keystore: keystore.clone(),
        token_limits: store.live(),
        per_user: Arc::new(service::Rates::new(Duration::from_mins(1))),
        per_certificate: Arc::new(service::Rates::new(Duration::from_secs(1))),
        store: store.clone(),
        minter: service::Minter {
            clock,
            farm,
            keystore,
            settings: settings.clone(),
            signing: service::Minter::slots(),
        },
        settings: settings.clone(),
        validator: service::Validator { authenticator },
    }
}
