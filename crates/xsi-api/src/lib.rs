//! XSI without a transport: one dispatch from a request to a reply, and channels, subscriptions and event delivery.
//!
//! HTTP (`xsi`) and CTI (`cti`) carry the same [`XsiApi`]: they read a [`Request`], hand it to [`XsiApi::dispatch`] and
//! write the [`Reply`]. Only the request that opens a channel differs: [`Request::opens_channel`] tells it, and
//! [`XsiApi::open_channel`] gives an [`OpenChannel`] whose documents the transport writes as they come.
//!
//! The crate knows the ports of the application server, the documents of `xsi-schema` and the settings; no socket, no
//! HTTP, no database. Formats: `protocols/xsi.md` and `protocols/cti.md`, cited beside the code.
//!
//! Reading order: [`Request`], [`Reply`], [`XsiApi`], [`OpenChannel`], then `actions` (resources), `events` (channels and
//! subscriptions), `delivery` (the state machine and its driver), `error` (the table of codes).

mod acd;
mod actions;
mod api;
mod convert;
mod delivery;
mod error;
mod events;
mod limits;
mod paging;
mod patience;
mod request;
mod resources;
mod services;
mod settings;
mod text;

pub use api::{Deps, XsiApi};
pub use error::Refusal;
pub use limits::{CommunicationDefaults, OverloadControl};
pub use request::{
    AfterReply, Application, ChannelTransport, ContactSender, Delivery, DeliveryKind, Method, OpenChannel,
    Reply, Request,
};
pub use resources::{RESOURCES, Resource, ResourceState, resources_page, service_resources};
pub use settings::{
    ActionsGeneral, ActionsPaging, AllowedTarget, EventsGeneral, EventsIntegration, HttpContact, MODULE,
};
