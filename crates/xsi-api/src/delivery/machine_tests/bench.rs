//! The machine with the ports' answers, without a runtime.

use super::super::machine::{Acknowledged, Machine};
use super::super::types::{Hold, Limits, Millis, Output, SetKey, StateKind};
use crate::{ChannelTransport, DeliveryKind};
use openadp_appserver::{
    ChannelRecord, Event, FeedEvent, HookStatus, Owner, SubscriptionRecord, SubscriptionTarget, UserId,
};
use openadp_xsi_schema::EventData;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub(super) const LIMITS: Limits = Limits {
    heartbeat: 15_000,
    client_silence: 60_000,
    acknowledgement: 10_000,
    grace: 600_000,
    queue: 5,
    contacts: true,
    contact_wait: 2_000,
};

pub(super) fn owner() -> Owner {
    Owner::User(UserId::new("alice@lab.example"))
}

pub(super) fn channel(id: &str, set: &str) -> ChannelRecord {
    ChannelRecord {
        channel_id: id.to_owned(),
        channel_set_id: set.to_owned(),
        owner: owner(),
        application_id: Some("app".to_owned()),
        priority: 1,
        weight: 50,
        expires_at: Some(3_600_000),
        process: "here".to_owned(),
    }
}

pub(super) fn subscription(id: &str, set: &str, package: &str) -> SubscriptionRecord {
    SubscriptionRecord {
        subscription_id: id.to_owned(),
        owner: owner(),
        target: SubscriptionTarget::User(UserId::new("bo@lab.example")),
        package: package.to_owned(),
        channel_set_id: set.to_owned(),
        http_contact: None,
        application_id: Some("app".to_owned()),
        call_control: "com.broadsoft.xsi-events".to_owned(),
        expires_at: Some(3_600_000),
        sequence_reserved: 0,
    }
}

pub(super) fn hook(position: u64) -> FeedEvent {
    FeedEvent {
        position,
        sequence: position,
        subscriber: UserId::new("bo@lab.example"),
        provider: "acme".to_owned(),
        group: "north".to_owned(),
        time: 0,
        request_id: None,
        event: Event::Hook(HookStatus::OffHook),
    }
}

pub(super) fn data(name: &'static str) -> Arc<EventData> {
    Arc::new(EventData::new(name, Vec::new()))
}

/// One document that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) channel: String,
    pub(super) event: Uuid,
    pub(super) subscription: String,
    pub(super) sequence: u64,
    pub(super) kind: String,
}

/// The machine with the ports' answers.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now: Millis,
    pub(super) position: u64,
    pub(super) reserved: BTreeMap<String, u64>,
    pub(super) sent: Vec<Sent>,
    pub(super) heartbeats: usize,
    pub(super) closed: Vec<(String, Option<String>)>,
    pub(super) forgotten: Vec<String>,
    pub(super) fetched: Vec<StateKind>,
    pub(super) answer_fetches: bool,
    /// Addresses that a channel was asked for.
    pub(super) contacts: Vec<(SetKey, String)>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let mut next = 0u128;
        let machine = Machine::new(
            "here".to_owned(),
            LIMITS,
            Box::new(move || {
                next += 1;
                Uuid::from_u128(next)
            }),
        );
        Self {
            machine,
            now: 1_000,
            position: 0,
            reserved: BTreeMap::new(),
            sent: Vec::new(),
            heartbeats: 0,
            closed: Vec::new(),
            forgotten: Vec::new(),
            fetched: Vec::new(),
            answer_fetches: true,
            contacts: Vec::new(),
        }
    }

    pub(super) fn text<'a>(xml: &'a str, name: &str) -> &'a str {
        xml.split_once(&format!("<xsi:{name}>"))
            .and_then(|(_, rest)| rest.split_once('<'))
            .map_or("", |(t, _)| t)
    }

    pub(super) fn settle(&mut self) {
        while let Some(output) = self.machine.next_output() {
            match output {
                Output::Close { channel, last } => {
                    let reason = last.map(|bytes| {
                        Self::text(std::str::from_utf8(&bytes).expect("UTF-8"), "reason").to_owned()
                    });
                    self.closed.push((channel.to_string(), reason));
                }
                Output::FetchState { subscription, kind, .. } => {
                    self.fetched.push(kind);
                    if self.answer_fetches {
                        let state = vec![data("CallSubscriptionEvent")];
                        self.machine.state_read(self.now, &subscription, Some((self.position, state)));
                    }
                }
                Output::OpenContact { set, uri } => self.contacts.push((set, uri.to_string())),
                Output::ForgetChannel { channel } => self.forgotten.push(channel.to_string()),
                Output::ForgetSubscription { subscription } => self.forgotten.push(subscription.to_string()),
                Output::Reserve { subscription, count } => {
                    let last = self.reserved.entry(subscription.to_string()).or_default();
                    let before = *last;
                    *last += count;
                    self.machine.reserved(self.now, &subscription, Some((before, count)));
                }
                Output::Send { channel, delivery } => match delivery.kind {
                    DeliveryKind::Heartbeat => self.heartbeats += 1,
                    DeliveryKind::Terminated => panic!("the hub makes these"),
                    DeliveryKind::Event => {
                        let xml = std::str::from_utf8(&delivery.bytes).expect("UTF-8");
                        assert!(
                            !self.closed.iter().any(|(closed, _)| **closed == *channel),
                            "sent to a closed channel"
                        );
                        let posted = xml.contains("<xsi:httpContact><xsi:uri>");
                        assert_eq!(Self::text(xml, "channelId"), if posted { "" } else { &*channel });
                        let (_, kind) = xml.split_once("eventData xsi1:type=\"xsi:").expect("typed");
                        self.sent.push(Sent {
                            channel: channel.to_string(),
                            event: Self::text(xml, "eventID").parse().expect("a UUID"),
                            subscription: Self::text(xml, "subscriptionId").to_owned(),
                            sequence: Self::text(xml, "sequenceNumber").parse().expect("a number"),
                            kind: kind.split('"').next().unwrap_or_default().to_owned(),
                        });
                    }
                },
            }
        }
    }

    pub(super) fn open(&mut self, record: ChannelRecord) {
        self.machine.open(self.now, record, ChannelTransport::Stream, &[]);
        self.settle();
    }
    /// Opens the channel that was asked for an address.
    pub(super) fn contact(&mut self, id: &str, set: &str) {
        let record = ChannelRecord { expires_at: None, application_id: None, ..channel(id, set) };
        self.machine.open(self.now, record, ChannelTransport::Contact, &[]);
        self.settle();
    }
    pub(super) fn subscribe(&mut self, record: SubscriptionRecord) {
        let id = record.subscription_id.clone();
        self.machine.subscribe(self.now, record, Hold::UntilReleased);
        self.settle();
        self.machine.release(self.now, &id);
        self.settle();
    }
    pub(super) fn hook(&mut self) {
        self.position += 1;
        let event = hook(self.position);
        self.machine.event(self.now, &event, || Some(data("HookStatusEvent")));
        self.settle();
    }
    pub(super) fn wait(&mut self, millis: Millis) {
        let end = self.now + millis;
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.machine.tick(self.now);
            self.settle();
        }
        self.now = end;
    }
    pub(super) fn beat(&mut self, channel: &str) -> bool {
        self.machine.heartbeat(self.now, channel, &owner())
    }
    pub(super) fn answer(&mut self, event: Uuid, status: u16) -> Acknowledged {
        let known = self.machine.acknowledge(self.now, event, status, &owner());
        self.settle();
        known
    }
    pub(super) fn sequences(&self) -> Vec<u64> {
        self.sent.iter().map(|sent| sent.sequence).collect()
    }
}
