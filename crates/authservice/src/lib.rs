//! AuthenticationService: long-lived tokens and their validation.
//!
//! A client proves a user with user id and password and sends a public key; it gets the user's long-lived token wrapped for
//! that key (`/authService/token`). Hosts without a key ring ask about tokens (`/validate`) and for public keys (`/keys`),
//! both from this machine only.
//!
//! - `wire/`: parameters, credentials as presented, the error table;
//! - `service/`: minting, validation, failed attempts;
//! - `http/`: methods, status codes, headers.
//!
//! Follows `protocols/authservice.md`, sections 3, 4, 7, 10 and 11. Webex identities, single-use tokens and client
//! certificates as proof are not served.

mod http;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use settings::{
    AllowedOrigin, AllowedRole, AllowedScope, CiscoIdentityProvider, ExemptSource, FailureLimits, Federation,
    IdentityProviderScopes, MODULE, Partner, TokenLimits,
};

use openadp_settings::Module;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount, Outgoing};
use std::sync::Arc;
use std::time::Duration;

/// Name of the application, as operators know it.
const NAME: &str = "AuthenticationService";

/// The application, for a host.
pub const APPLICATION: ApplicationSpec =
    ApplicationSpec { name: NAME, modules: MODULES, needs_application_server: true, exclusive: false, build };

const MODULES: &[Module] = &[MODULE, openadp_token::MODULE, openadp_keystore::MODULE];

fn build(host: &Host) -> Result<Application, BuildError> {
    host.require_ports()?;
    let farm = service::Farm::new(
        &host.store,
        host.keystore.clone(),
        host.clock.clone(),
        host.data_dir.clone(),
        host.tasks.clone(),
        Some(Outgoing::new(host.tls.clone(), host.tasks.clone())),
    );
    host.tasks.spawn(farm.clone().run(host.shutdown.clone()));
    let edge =
        compose(host.authenticator.clone(), host.clock.clone(), farm, host.keystore.clone(), &host.store);
    Ok(Application { name: NAME, mounts: vec![Mount::new("/authService", http::router(edge))] })
}

fn compose(
    authenticator: openadp_webcontainer::Authenticator,
    clock: Arc<dyn openadp_appserver::Clock>,
    farm: service::Farm,
    keystore: Arc<openadp_keystore::KeyStore>,
    store: &Arc<openadp_settings::Store>,
) -> http::Edge {
    let settings = store.live();
    http::Edge {
        authenticator: authenticator.clone(),
        clock: clock.clone(),
        failures: Arc::default(),
        farm: farm.clone(),
        in_progress: Arc::default(),
        keys: http::ClientKeys::default(),
        keystore: keystore.clone(),
        limits: store.live(),
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
