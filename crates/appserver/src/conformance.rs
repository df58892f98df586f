//! The suite that every adapter of the ports runs in its tests.
//!
//! An adapter implements [`Fixture`] over a fresh installation with the [people](Person) of this module, and calls
//! [`all`], or the parts one by one, each with a fixture of its own. A part panics where a rule is broken.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "a suite of tests, compiled for the tests of adapters only; results are checked where they come"
)]

mod call_centers;
mod calls;
mod control;
mod directories;
mod events;
mod messages;
mod places;
mod records;

pub use call_centers::call_centers;
pub use calls::{call_limits, call_services, calls, forwarding, no_answer, transfers};
pub use control::{conferences, parking, pick_ups, recalls, recording};
pub use directories::{custom_directories, directory, phone_lists};
pub use events::{feed, request_ids, subscriptions, two_processes};
pub use messages::messages;
pub use places::{mailboxes, mobiles, places, searches, selections};
pub use records::{credentials, devices, garbage, push_registrations, services};

use crate::{
    CallId, CallState, Event, FeedEvent, PhoneList, PhoneListEntry, PortError, PortResult, Ports,
    ServiceKind, UserId,
};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A subscriber or administrator of the suite.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// User id.
    pub user_id: &'static str,
    /// Web password.
    pub password: &'static str,
    /// Service provider or enterprise.
    pub provider: &'static str,
    /// Group.
    pub group: &'static str,
    /// First name.
    pub first_name: &'static str,
    /// Last name.
    pub last_name: &'static str,
    /// E.164 number.
    pub number: &'static str,
    /// Extension.
    pub extension: &'static str,
}

impl Person {
    /// The user id as a type.
    pub fn id(&self) -> UserId {
        UserId::new(self.user_id)
    }
}

/// The enterprise of most of them; its country code is 1.
pub const ENTERPRISE: &str = "acme";
/// Another service provider, no enterprise.
pub const STRANGERS: &str = "strangers";

/// Has a device, see [`DEVICE`].
pub const ALICE: Person = Person {
    user_id: "alice@acme.example",
    password: "alice's password",
    provider: ENTERPRISE,
    group: "north",
    first_name: "Alice",
    last_name: "Carter",
    number: "+12125550101",
    extension: "2101",
};
/// Of the same group; has a device too, named `bo_pc` in place of `alice_pc`.
pub const BO: Person = Person {
    user_id: "bo@acme.example",
    password: "bo's password",
    provider: ENTERPRISE,
    group: "north",
    first_name: "Bo",
    last_name: "Lindqvist",
    number: "+12125550102",
    extension: "2102",
};
/// Of the same group.
pub const CAROL: Person = Person {
    user_id: "carol@acme.example",
    password: "carol's password",
    provider: ENTERPRISE,
    group: "north",
    first_name: "Carol",
    last_name: "Muñoz & Söhne",
    number: "+12125550103",
    extension: "2103",
};
/// Of another group of the enterprise.
pub const DAN: Person = Person {
    user_id: "dan@acme.example",
    password: "dan's password",
    provider: ENTERPRISE,
    group: "south",
    first_name: "Dan",
    last_name: "Carter",
    number: "+12125550104",
    extension: "2104",
};
/// Of the other service provider, with an extension that exists twice.
pub const EVE: Person = Person {
    user_id: "eve@strangers.example",
    password: "eve's password",
    provider: STRANGERS,
    group: "far",
    first_name: "Eve",
    last_name: "Okafor",
    number: "+442079460123",
    extension: "2101",
};
/// Administers the group north.
pub const ADMIN: Person = Person {
    user_id: "admin@acme.example",
    password: "admin's password",
    provider: ENTERPRISE,
    group: "north",
    first_name: "",
    last_name: "",
    number: "",
    extension: "",
};
/// All subscribers.
pub const SUBSCRIBERS: [Person; 5] = [ALICE, BO, CAROL, DAN, EVE];

/// Device of [`ALICE`]: type `Business Communicator - PC` in the folder `bc/pc/`, credentials may be read out.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// User name for its files.
    pub user_name: &'static str,
    /// Password for its files.
    pub password: &'static str,
    /// Line and port.
    pub line_port: &'static str,
    /// SIP password, which its file holds.
    pub sip_password: &'static str,
    /// Hardware address, twelve hexadecimal digits.
    pub mac: &'static str,
}

/// See [`Device`].
pub const DEVICE: Device = Device {
    user_name: "alice_pc",
    password: "alice's device",
    line_port: "alice_pc@acme.example",
    sip_password: "sip & <secret>",
    mac: "0A1B2C3D4E5F",
};
/// Device of [`BO`].
pub const OTHER_DEVICE: Device = Device {
    user_name: "bo_pc",
    password: "bo's device",
    line_port: "bo_pc@acme.example",
    sip_password: "another secret",
    mac: "0a1b2c3d4e60",
};
/// Where devices find the DMS application.
pub const DMS_URL: &str = "https://dms.acme.example:8443/dms/";

/// An installation under test.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The ports as one process sees them.
    fn ports(&self) -> Ports;
    /// The ports of the same installation as a second process sees them.
    fn second(&self) -> Ports;
    /// Lets time go by, and what is due in it happen.
    async fn advance(&self, by: Duration);
    /// Changes a web password as an administrator does.
    async fn set_password(&self, user: &UserId, password: &str);
    /// Takes a service away.
    async fn unassign(&self, user: &UserId, kind: ServiceKind);
    /// Puts entries into a phone list, as an administrator does: into that of the person, or of its group or enterprise.
    async fn put_phone_entries(&self, list: PhoneList, of: &Person, entries: &[PhoneListEntry]);
    /// Puts together a directory for the group of a person.
    async fn put_custom_directory(&self, of: &Person, name: &str, members: &[Person]);
    /// Makes a subscriber a call centre with these agents: a queue of two, a longest wait of sixty seconds, two rings, ten
    /// seconds for working up a call; and gives the enterprise the unavailable code 10.
    async fn call_center(&self, center: &UserId, agents: &[UserId]);
    /// How long an unanswered call rings, at most.
    fn no_answer_timeout(&self) -> Duration;
    /// Most messages of one mailbox.
    fn messages_per_mailbox(&self) -> usize;
    /// Most bytes of one message's recording.
    fn bytes_per_message(&self) -> usize;
    /// Most calls of one subscriber.
    fn calls_per_user(&self) -> usize;
}

/// Runs every part, each with an installation of its own.
pub async fn all<F: Fixture, M: AsyncFn() -> F>(make: M) {
    credentials(&make().await).await;
    directory(&make().await).await;
    phone_lists(&make().await).await;
    custom_directories(&make().await).await;
    services(&make().await).await;
    devices(&make().await).await;
    push_registrations(&make().await).await;
    messages(&make().await).await;
    calls(&make().await).await;
    forwarding(&make().await).await;
    call_services(&make().await).await;
    no_answer(&make().await).await;
    transfers(&make().await).await;
    call_limits(&make().await).await;
    call_centers(&make().await).await;
    places(&make().await).await;
    searches(&make().await).await;
    mailboxes(&make().await).await;
    mobiles(&make().await).await;
    selections(&make().await).await;
    parking(&make().await).await;
    pick_ups(&make().await).await;
    recalls(&make().await).await;
    conferences(&make().await).await;
    recording(&make().await).await;
    feed(&make().await).await;
    request_ids(&make().await).await;
    subscriptions(&make().await).await;
    two_processes(&make().await).await;
    garbage(&make().await).await;
}

/// A result that must be good.
#[track_caller]
fn good<T>(result: PortResult<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("refused: {error} ({error:?})"),
    }
}

#[track_caller]
fn not_found<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::NotFound { .. })), "not found expected: {result:?}");
}

#[track_caller]
fn invalid<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::Invalid { .. })), "invalid expected: {result:?}");
}

#[track_caller]
fn wrong_state<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::WrongState { .. })), "wrong state expected: {result:?}");
}

fn nobody() -> UserId {
    UserId::new("nobody@acme.example")
}

/// The user's only call in a state.
async fn call_in(ports: &Ports, person: &Person, state: CallState) -> CallId {
    let overview = good(ports.calls.overview(&person.id()).await);
    let mut calls = overview.calls.iter().filter(|call| call.state == state);
    let call =
        calls.next().unwrap_or_else(|| panic!("{} has no call in {state:?}: {overview:?}", person.user_id));
    assert!(calls.next().is_none(), "{} has one call in {state:?}", person.user_id);
    call.id.clone()
}

async fn state_of(ports: &Ports, person: &Person, call: &CallId) -> CallState {
    good(ports.calls.call(&person.id(), call).await).state
}

/// All events after a position.
async fn events_after(ports: &Ports, position: u64) -> Vec<Arc<FeedEvent>> {
    good(ports.feed.read(position, 1_000).await)
}

/// What one subscriber was told after a position, in short.
async fn told(ports: &Ports, person: &Person, position: u64) -> Vec<String> {
    let events = events_after(ports, position).await;
    let own = events.iter().filter(|event| event.subscriber == person.id());
    own.map(|event| match &event.event {
        Event::Call { kind, call } => format!("{kind:?} {:?}", call.state),
        Event::Conference { kind, conference } => format!("Conference {kind:?} {:?}", conference.state),
        Event::Agent(status) => format!("Agent {:?}", status.state),
        Event::AgentJoin(queue) => format!("Joined {}", queue.joined),
        Event::Queue { kind, .. } => format!("Queue {kind:?}"),
        Event::Hook(status) => format!("{status:?}"),
        Event::Parked { party } => format!("Parked {}", if party.is_some() { "somebody" } else { "nobody" }),
        Event::Service(service) => format!("Service {}", service.kind.display_name()),
        Event::Messages(summary) => format!("Messages {} {}", summary.new, summary.old),
        Event::PushRegistrations => "PushRegistrations".to_owned(),
        Event::CredentialsChanged => "CredentialsChanged".to_owned(),
        Event::SubscriberDeleted => "SubscriberDeleted".to_owned(),
    })
    .collect()
}

/// The time now, milliseconds since 1970.
fn now(ports: &Ports) -> i64 {
    crate::epoch_millis(ports.clock.now())
}

/// Changes plain members of a service.
async fn change(ports: &Ports, user: &UserId, kind: ServiceKind, wishes: &[(&'static str, Option<&str>)]) {
    let patch = good(kind.patch(wishes));
    good(ports.services.change_service(user, kind, patch).await);
}
