//! Xsi-Actions and Xsi-Events: xsi-api over HTTP.
//!
//! The crate knows HTTP and nothing of telephony: it authenticates, reads a document from the body, hands the request to
//! [`XsiApi`] and writes the reply in the form that was asked for. A channel is an answer whose
//! body never ends by itself. Formats: `protocols/xsi.md`, sections 0 to 2 and 5.3.
//!
//! Reading order: [`APPLICATION`], `http` (the way of a request), `http::stream` (channels), `wire` (forms and cookies).

mod http;
mod wire;

use openadp_settings::Module;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount};
use openadp_xsi_api::{Deps, XsiApi};
use openadp_xsi_schema::{Document as _, ErrorInfo};

/// The settings of this crate; all of XSI's own are declared in `xsi-api`.
pub const MODULE: Module = Module::new("xsi");

/// Xsi-Actions and Xsi-Events as one application: they share channels, subscriptions and the way to the application
/// server.
pub const APPLICATION: ApplicationSpec = ApplicationSpec {
    name: "Xsi",
    modules: &[MODULE, openadp_xsi_api::MODULE],
    needs_application_server: true,
    exclusive: false,
    build,
};

/// Context paths (xsi.md 1.1).
const ACTIONS: &str = "/com.broadsoft.xsi-actions";
const EVENTS: &str = "/com.broadsoft.xsi-events";
const ASYNC: &str = "/com.broadsoft.async/com.broadsoft.xsi-events";

/// Error code of what is refused because the node is locked, as what is refused because nothing answers behind it.
const LOCKED: u32 = 210_503;

fn build(host: &Host) -> Result<Application, BuildError> {
    let api = XsiApi::new(Deps {
        ports: host.require_ports()?,
        store: host.store.clone(),
        tasks: host.tasks.clone(),
        shutdown: host.shutdown.clone(),
    });
    let edge = http::Edge::new(api, host.authenticator.clone(), host.tasks.clone());
    let (locked, form) = wire::form::Form::Xml
        .write(&ErrorInfo::new("The node is locked, try again later", Some(LOCKED)).to_element());
    let mount = |path, router| Mount::new(path, router).refuses_with(form, locked.clone());
    Ok(Application {
        name: APPLICATION.name,
        mounts: vec![
            mount(ACTIONS, http::router(edge.clone(), openadp_xsi_api::Application::Actions))
                .of("Xsi-Actions"),
            mount(EVENTS, http::router(edge.clone(), openadp_xsi_api::Application::Events)).of("Xsi-Events"),
            mount(ASYNC, http::router(edge, openadp_xsi_api::Application::Events)).of("Xsi-Events"),
        ],
    })
}
