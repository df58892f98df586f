//! Xsi-Actions and Xsi-Events: xsi-api over HTTP.
//!
//! The crate knows HTTP and nothing of telephony: it authenticates, reads a document from the body, hands the request to
//! [`XsiApi`] and writes the reply in the form that was asked for. A channel is an answer whose
//! body never ends by itself. Formats: `protocols/xsi.md`, sections 0 to 2 and 5.3.
//!
//! Reading order: [`APPLICATION`], `http` (the way of a request), `http::stream` (channels), `wire` (forms and cookies).

mod contact;
mod http;
mod wire;

use ::http::Method;
use ::http::header::ACCEPT;
use bytes::Bytes;
use openadp_settings::Module;
use openadp_webcontainer::{Application, ApplicationSpec, BuildError, Host, Mount, Refused, calls_to_nodes};
use openadp_xsi_api::{Deps, XsiApi};
use openadp_xsi_schema::{Document as _, ErrorInfo};
use std::sync::Arc;

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
    let calls =
        calls_to_nodes(&host.store, host.tls.clone(), true, host.tasks.clone(), host.shutdown.clone());
    let api = XsiApi::new(Deps {
        ports: host.require_ports()?,
        store: host.store.clone(),
        tasks: host.tasks.clone(),
        shutdown: host.shutdown.clone(),
        contacts: Some(Arc::new(contact::Contacts(calls))),
    });
    let edge = http::Edge::new(api, host.authenticator.clone(), host.tasks.clone());
    let mount = |path, router| Mount::new(path, router).refuses_with(locked);
    let events = |path, router| mount(path, router).finishes(keeps_a_channel).of("Xsi-Events");
    Ok(Application {
        name: APPLICATION.name,
        mounts: vec![
            mount(ACTIONS, http::router(edge.clone(), openadp_xsi_api::Application::Actions))
                .of("Xsi-Actions"),
            events(EVENTS, http::router(edge.clone(), openadp_xsi_api::Application::Events)),
            events(ASYNC, http::router(edge, openadp_xsi_api::Application::Events)),
        ],
    })
}

/// What is refused while the node is locked, in the form that the client asks for.
fn locked(request: &Refused<'_>) -> (&'static str, Bytes) {
    let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let error = ErrorInfo::new("The node is locked, try again later", Some(LOCKED));
    let (body, content_type) = wire::form::Form::asked(request.query, accept).write(&error.to_element());
    (content_type, body)
}

/// Channels that are open when the node is locked go on until they are told to end: their owners keep them alive, answer to
/// events, and take leave.
fn keeps_a_channel(method: &Method, path: &str) -> bool {
    let mut names = path.split('/').filter(|name| !name.is_empty()).skip(1).map(str::to_ascii_lowercase);
    let (kind, second, third) = (names.next(), names.next(), names.next());
    match (kind.as_deref(), second.as_deref(), third.as_deref()) {
        (Some("channel"), Some("eventresponse"), None) | (Some("channel"), Some(_), Some("heartbeat")) => {
            matches!(*method, Method::POST | Method::PUT)
        }
        (Some("channel" | "channelset" | "subscription"), Some(_), _) => method == Method::DELETE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_channel_is_known() {
        let keeps = |method: Method, path: &str| keeps_a_channel(&method, path);
        for (method, path) in [
            (Method::POST, "/v2.0/channel/eventresponse"),
            (Method::POST, "/v2.0/Channel/EventResponse/"),
            (Method::PUT, "/v2.0/channel/1/heartbeat"),
            (Method::DELETE, "/v2.0/channel/1"),
            (Method::DELETE, "/v2.0/subscription/1"),
        ] {
            assert!(keeps(method, path), "{path}");
        }
        for (method, path) in [
            (Method::POST, "/v2.0/channel"),
            (Method::PUT, "/v2.0/channel/1"),
            (Method::POST, "/v2.0/user/alice"),
            (Method::POST, "/v2.0/user/channel/eventresponse"),
            (Method::GET, "/v2.0/channel/1/heartbeat"),
            (Method::DELETE, "/v2.0/channel"),
            (Method::PUT, "/"),
        ] {
            assert!(!keeps(method, path), "{path}");
        }
    }
}
