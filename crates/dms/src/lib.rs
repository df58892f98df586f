//! DMS: device configuration files.
//!
//! Apps and desk phones fetch their configuration below `/dms` with the credentials of their device, apps also with the
//! subscriber's token. The application server builds the files and decides who gets which (`Devices` of its ports);
//! this is the front that faces the internet: clean paths, clear challenges, no oracle, nothing kept on the way.
//!
//! - `wire/`: paths, credentials, conditions, taken apart;
//! - `service/`: access over the ports, sources that fail too often;
//! - `http/`: methods, status codes, headers.
//!
//! Devices are also known by what others prove of them: a firewall in front by a header, their maker by a certificate, the
//! identity provider or the bridge of activated devices (`activation`) by a token.
//!
//! Follows `protocols/dms.md`, sections 4, 5, 10 and 12. Uploads and digest are not served.

mod activation;
mod http;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use settings::{
    AccessControl, ActivationIdentityProvider, Certificates, DmBridge, Headers, MODULE, OAuth, OAuthScope,
    TrustedSource,
};
pub use wire::{PathFault, clean_path};

use openadp_identity::{ClientNeeds, CloudClient, Identities, Needs, Purpose, Ticks};
use openadp_outgoing::TlsSource;
use openadp_settings::Module;
use openadp_tls::ClientUse;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount};
use std::sync::Arc;

/// Name of the application, as operators know it.
const NAME: &str = "BroadworksDms";

/// The application, for a host.
pub const APPLICATION: ApplicationSpec =
    ApplicationSpec { name: NAME, modules: MODULES, needs_application_server: true, exclusive: false, build };

const MODULES: &[Module] = &[MODULE, openadp_identity::MODULE, openadp_outgoing::MODULE];

fn build(host: &Host) -> Result<Application, BuildError> {
    let ports = host.require_ports()?;
    let tls = host.tls.clone();
    // Providers' names are always checked, whatever the settings say.
    let tls: TlsSource =
        Arc::new(move || tls.client_config(ClientUse::HTTP.strict()).map_err(std::io::Error::other));
    let ticks: Ticks = Arc::new(tokio::time::Instant::now);
    let identities = Identities::new(Needs {
        clock: host.clock.clone(),
        credentials: ports.credentials,
        logins: ports.logins,
        purpose: Purpose::Devices {
            enabled: |snapshot| snapshot.get::<OAuth>().enable,
            scopes: |snapshot| snapshot.rows::<OAuthScope>().into_iter().map(|row| row.scope).collect(),
        },
        shutdown: host.shutdown.clone(),
        store: host.store.clone(),
        tasks: host.tasks.clone(),
        ticks: ticks.clone(),
        tls: tls.clone(),
    });
    drop(host.tasks.spawn(identities.clone().work(host.shutdown.clone())));
    let client = CloudClient::new(ClientNeeds {
        clock: host.clock.clone(),
        shutdown: host.shutdown.clone(),
        store: host.store.clone(),
        tasks: host.tasks.clone(),
        ticks,
        tls,
    });
    let activation =
        activation::Activation::new(client, host.clock.clone(), host.store.clone(), host.tasks.clone());
    drop(host.tasks.spawn(activation.clone().work(host.shutdown.clone())));
    let tokens = http::Bearers { activation, authenticator: host.authenticator.clone(), identities };
    let access = service::Access { devices: ports.devices, tokens: Arc::new(tokens) };
    let edge = http::Edge {
        access,
        control: host.store.live(),
        failures: Arc::default(),
        proofs: Arc::new(http::Proofs::new(&host.store)),
    };
    Ok(Application { name: NAME, mounts: vec![Mount::new("/dms", http::router(edge))] })
}
