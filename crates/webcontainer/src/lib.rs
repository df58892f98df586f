//! HTTP interfaces: mount applications, authenticate, limit, log.
//!
//! An HTTP application is a library that exports an [`ApplicationSpec`]: its name, its settings, and a function that
//! builds it over a [`Host`] as an [`Application`], routers under mount paths. [`WebContainer`] serves a set of them on
//! connections of the `listener`, HTTP/1.1 and HTTP/2, and does for all of them alike: request ids, limits, the rule that
//! every request is answered within two seconds, panics, access log, metrics, client certificates per application.
//! [`Authenticator`] is the one place where credentials become a principal.
//!
//! A router sees the path below its mount (`/com.broadsoft.xsi-actions/v2.0/x` arrives as `/v2.0/x`); the whole URI as
//! the client sent it is in the extension `axum::extract::OriginalUri`. Further extensions of every request:
//! [`RequestId`] and `Arc<`[`ConnectionInfo`]`>`.
//!
//! This crate must not know any application. Reading order: [`Host`], [`ApplicationSpec`], [`Authenticator`],
//! [`read_body`], [`WebContainer`], the settings.

mod activity;
mod auth;
mod auth_service;
mod bearer;
mod binding;
mod body;
mod calls;
mod container;
mod cors;
mod deployment;
mod failure_settings;
mod failures;
mod files;
mod host;
mod lock;
mod logins;
mod mount;
mod request;
mod respond;
mod settings;
mod token_cache;

pub use auth::{AuthError, Authenticator};
pub use auth_service::AuthServiceAddress;
pub use binding::HttpBinding;
pub use body::{BodyError, read_body};
pub use calls::calls_to_nodes;
pub use container::WebContainer;
pub use cors::CorsOrigin;
pub use deployment::{Content, Deployed, Deployments, Service};
pub use failure_settings::{ExemptSource, FailureLimits};
pub use files::{Entry, Index, IndexError, StaticFiles};
pub use host::{Application, ApplicationSpec, BuildError, Finishes, Host, Mount, Refusal, Refused};
pub use lock::ServiceLock;
pub use openadp_appserver::Principal;
pub use openadp_listener::ConnectionInfo;
pub use request::RequestId;
pub use settings::{ClientName, ContainerOptions, GeneralSettings, LimitSettings, MODULE};
