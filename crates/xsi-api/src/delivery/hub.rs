//! The machine in the middle: requests, the feed and time all step it through here, and what it wants written is written
//! before the next step, so that order holds.

use super::machine::Machine;
use super::types::{Id, Limits, Millis, Output};
use crate::settings::{AllowedTarget, EventsGeneral, EventsIntegration, HttpContact};
use crate::{AfterReply, ChannelTransport, ContactSender, Delivery, DeliveryKind, OpenChannel};
use bytes::Bytes;
use openadp_appserver::{ChannelRecord, Ports, SubscriptionRecord, epoch_millis};
use openadp_settings::{Live, Store};
use openadp_xsi_schema::Element;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Room in a channel's queue beside its events, for heartbeats.
const HEARTBEAT_ROOM: usize = 4;

/// How long other processes leave it to the one that took the request to post events to an address.
const CONTACT_WAIT: Millis = 2_000;

/// What the driver does for the machine: each a call of a port.
#[derive(Debug)]
pub(super) enum Work {
    AwaitAnswer { subscription: Id, written: oneshot::Receiver<()> },
    Machine(Output),
}

struct Writer {
    queue: mpsc::Sender<Delivery>,
    last: Arc<OnceLock<Bytes>>,
}

struct State {
    machine: Machine,
    writers: HashMap<Id, Writer>,
    work: VecDeque<Work>,
}

/// Everything that delivery shares.
pub(crate) struct Hub {
    pub(super) ports: Ports,
    pub(super) process: String,
    general: Live<EventsGeneral>,
    integration: Live<EventsIntegration>,
    state: Mutex<State>,
    /// Woken when there is work or an earlier deadline.
    pub(super) wake: Notify,
    ready: watch::Sender<bool>,
    store: Arc<Store>,
    pub(super) contacts: Option<Arc<dyn ContactSender>>,
    pub(super) tasks: TaskTracker,
}

impl Hub {
    /// A hub without channels.
    pub(crate) fn new(
        ports: Ports,
        store: &Arc<Store>,
        contacts: Option<Arc<dyn ContactSender>>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        let general = store.live::<EventsGeneral>();
        let integration = store.live::<EventsIntegration>();
        let process = Uuid::new_v4().to_string();
        let limits = limits(&general, &integration, contacts.is_some());
        Arc::new(Self {
            ports,
            state: Mutex::new(State {
                machine: Machine::new(process.clone(), limits, Box::new(Uuid::new_v4)),
                writers: HashMap::new(),
                work: VecDeque::new(),
            }),
            process,
            general,
            integration,
            wake: Notify::new(),
            ready: watch::Sender::new(false),
            store: store.clone(),
            contacts,
            tasks,
        })
    }

    /// The time, milliseconds since 1970.
    pub(crate) fn now(&self) -> Millis {
        epoch_millis(self.ports.clock.now())
    }
    /// This process's name in channel records.
    pub(crate) fn process_name(&self) -> &str {
        &self.process
    }
    /// The settings of channels and subscriptions.
    pub(crate) fn general(&self) -> Arc<EventsGeneral> {
        self.general.load()
    }
    /// How much of what delivery asks of the application server may be under way at once.
    pub(super) fn handlers(&self) -> usize {
        self.integration.load().event_handler_thread_count.max(1)
    }
    /// Where events may be posted to.
    pub(crate) fn allowed_targets(&self) -> Vec<AllowedTarget> {
        self.store.rows()
    }
    /// How they are posted.
    pub(super) fn http_contact(&self) -> Live<HttpContact> {
        self.store.live()
    }
    /// Says that the feed's position and the store's records are known.
    pub(super) fn set_ready(&self) {
        self.ready.send_replace(true);
    }
    /// Waits for that: nothing that was opened before would miss an event.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as the hub.
        drop(self.ready.subscribe().wait_for(|ready| *ready).await);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the machine, and everything it wants written.
    pub(crate) fn step<T>(&self, step: impl FnOnce(&mut Machine, Millis) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        state.machine.set_limits(limits(&self.general, &self.integration, self.contacts.is_some()));
        let before = state.machine.next_deadline();
        let result = step(&mut state.machine, now);
        let worked = state.perform(now);
        let after = state.machine.next_deadline();
        drop(state);
        if worked || (after != before && after.is_some()) {
            self.wake.notify_one();
        }
        result
    }

    /// A look at the machine.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Machine) -> T) -> T {
        look(&self.lock().machine)
    }
    /// The next thing for the driver.
    pub(super) fn take_work(&self) -> Option<Work> {
        self.lock().work.pop_front()
    }
    /// When the machine is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.lock().machine.next_deadline()
    }

    /// Takes a channel that the store has accepted.
    pub(crate) fn attach(
        self: &Arc<Self>,
        record: ChannelRecord,
        transport: ChannelTransport,
        ended: &[ChannelRecord],
        document: Element,
    ) -> OpenChannel {
        let id: Id = record.channel_id.as_str().into();
        let capacity = self.integration.load().event_queue_size.max(1) + HEARTBEAT_ROOM;
        let (queue, receiver) = mpsc::channel(capacity);
        let last = Arc::new(OnceLock::new());
        self.lock().writers.insert(id.clone(), Writer { queue, last: last.clone() });
        self.step(|machine, now| machine.open(now, record, transport, ended));
        metrics::gauge!("xsi_channels_open").increment(1.0);
        let hub = self.clone();
        let closed = id.clone();
        OpenChannel {
            id: id.to_string(),
            document,
            receiver,
            last,
            ended: false,
            on_drop: Some(Box::new(move || {
                metrics::gauge!("xsi_channels_open").decrement(1.0);
                hub.step(|machine, now| machine.closed(now, &closed));
            })),
        }
    }

    /// Takes a subscription that the store has accepted; its first event waits for the guard.
    pub(crate) fn subscribed(
        &self,
        record: SubscriptionRecord,
        replaced: Option<&SubscriptionRecord>,
    ) -> AfterReply {
        let id: Id = record.subscription_id.as_str().into();
        let (guard, written) = AfterReply::new();
        self.lock().work.push_back(Work::AwaitAnswer { subscription: id, written });
        self.step(|machine, now| {
            if let Some(replaced) = replaced {
                machine.unsubscribe(now, &replaced.subscription_id, true);
            }
            machine.subscribe(now, record, super::types::Hold::UntilReleased);
        });
        self.wake.notify_one();
        guard
    }

    /// A subscription was refreshed; its full state waits for the guard.
    pub(crate) fn refreshed(&self, subscription: &str, expires_at: Option<Millis>) -> AfterReply {
        let (guard, written) = AfterReply::new();
        self.lock().work.push_back(Work::AwaitAnswer { subscription: subscription.into(), written });
        self.step(|machine, now| machine.refresh_subscription(now, subscription, expires_at, true));
        self.wake.notify_one();
        guard
    }
}

fn limits(general: &Live<EventsGeneral>, integration: &Live<EventsIntegration>, contacts: bool) -> Limits {
    let general = general.load();
    let millis = |seconds: u32| Millis::from(seconds) * 1000;
    Limits {
        heartbeat: millis(general.heartbeat_period_in_seconds.max(1)),
        client_silence: millis(general.client_heartbeat_timeout_in_seconds.max(1)),
        acknowledgement: millis(general.notification_timeout_in_seconds.max(1)),
        grace: millis(general.channel_set_grace_period_in_seconds.max(1)),
        queue: integration.load().event_queue_size.max(1),
        contacts,
        contact_wait: CONTACT_WAIT,
    }
}

impl State {
    /// Does what the machine wants; whether something is left for the driver.
    fn perform(&mut self, now: Millis) -> bool {
        let mut worked = false;
        while let Some(output) = self.machine.next_output() {
            match output {
                Output::Close { channel, last } => {
                    if let Some(writer) = self.writers.remove(&channel)
                        && let Some(last) = last
                        && writer.last.set(last).is_err()
                    {
                        tracing::debug!("a channel was ended twice");
                    }
                }
                Output::Send { channel, delivery } => self.send(now, &channel, delivery),
                work @ (Output::FetchState { .. }
                | Output::ForgetChannel { .. }
                | Output::ForgetSubscription { .. }
                | Output::OpenContact { .. }
                | Output::Reserve { .. }) => {
                    self.work.push_back(Work::Machine(work));
                    worked = true;
                }
            }
        }
        worked
    }

    fn send(&mut self, now: Millis, channel: &Id, delivery: Delivery) {
        let Some(writer) = self.writers.get(channel) else { return };
        let kind = delivery.kind;
        match writer.queue.try_send(delivery) {
            Ok(()) => match kind {
                DeliveryKind::Event => metrics::counter!("xsi_events_sent_total").increment(1),
                DeliveryKind::Heartbeat | DeliveryKind::Terminated => {}
            },
            // A heartbeat more would not help a client that does not read.
            Err(TrySendError::Full(_)) if kind == DeliveryKind::Heartbeat => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!("xsi_channels_overflowed_total").increment(1);
                openadp_alarms::EVENT_QUEUE_OVERFLOW
                    .report(&[], "a client does not read its events; its channel is ended");
                self.machine.terminate(
                    now,
                    channel,
                    openadp_appserver::TerminationReason::NonResponsiveChannel,
                );
            }
            Err(TrySendError::Closed(_)) => self.machine.closed(now, channel),
        }
    }
}
