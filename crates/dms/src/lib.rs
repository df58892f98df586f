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
//! Follows `protocols/dms.md`, sections 4, 5, 10 and 12. Uploads, digest and client certificates are not served.

mod http;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use settings::{
    AccessControl, ActivationIdentityProvider, Certificates, DmBridge, Headers, MODULE, OAuth, OAuthScope,
};
pub use wire::{PathFault, clean_path};

use openadp_settings::Module;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount};
use std::sync::Arc;

/// Name of the application, as operators know it.
const NAME: &str = "BroadworksDms";

/// The application, for a host.
pub const APPLICATION: ApplicationSpec =
    ApplicationSpec { name: NAME, modules: MODULES, needs_application_server: true, exclusive: false, build };

const MODULES: &[Module] = &[MODULE];

fn build(host: &Host) -> Result<Application, BuildError> {
    let access = service::Access {
        devices: host.require_ports()?.devices,
        tokens: Arc::new(host.authenticator.clone()),
    };
    let edge = http::Edge { access, control: host.store.live(), failures: Arc::default() };
    Ok(Application { name: NAME, mounts: vec![Mount::new("/dms", http::router(edge))] })
}
