//! The task that drives one connection: reads, runs, writes, and ends.

use super::identity::{Peer, Standing};
use super::machine::{Action, CloseReason, Done, Limits, MAX_DEPTH, Machine};
use super::outbound::{self, Outbound, SlowReader};
use super::run::{self, Bound, Shared};
use crate::wire::Framer;
use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use openadp_appserver::Principal;
use openadp_xsi_api::{AfterReply, Delivery, DeliveryKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at once: a few requests, and not much for an idle connection to hold.
const READ_SIZE: usize = 4 * 1024;
/// Time that the client has to read what is still queued when this side closes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Time that requests under way have when nothing more is read.
const FINISH: Duration = Duration::from_secs(5);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it.
    Client,
    /// This side closed it.
    Closed(CloseReason),
    /// The interface goes, or the process ends.
    Drained,
    /// Reading or writing failed.
    Broken,
    /// The client does not read.
    SlowReader,
}

impl End {
    /// The reason, as metrics and logs name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Closed(CloseReason::AuthenticationFailures) => "authentication_failures",
            Self::Closed(CloseReason::Malformed) => "malformed",
            Self::Closed(CloseReason::Silent) => "silent",
            Self::Closed(CloseReason::Unauthenticated) => "unauthenticated",
            Self::Drained => "drained",
            Self::Broken => "broken",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// Something that runs beside reading.
enum Finished {
    Request(Box<Done>, Option<Bound>),
    Acknowledged,
}

/// Serves a connection to its end. Its channels end with it; subscriptions stay.
pub(crate) async fn serve<S>(shared: Arc<Shared>, stream: S, peer: Peer, drain: CancellationToken) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let settings = shared.settings.load();
    let limits = Limits::from(&*settings);
    let proven = matches!(peer.standing(&shared.store.current()), Standing::ClientApplication(_));
    let (outbound, queue) = outbound::queue(settings.outbound_messages, settings.outbound_bytes);
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection {
        machine: Machine::new(limits, proven, Instant::now()),
        framer: Framer::new(limits.max_message, MAX_DEPTH),
        peer: Arc::new(peer),
        running: FuturesUnordered::new(),
        channels: FuturesUnordered::new(),
        owners: Vec::new(),
        outbound,
        shared,
    };
    let mut writing = pin!(queue.write_to(writer));
    let end = tokio::select! {
        end = connection.converse(reader, &drain) => end,
        // The queue does not end while the connection holds its other end: this is a failure.
        _ = &mut writing => End::Broken,
    };
    // Channels end here, and with the outbound end dropped the queue is written and the stream closed.
    drop(connection);
    if !matches!(end, End::Broken | End::SlowReader) && timeout(LAST_WORDS, writing).await.is_err() {
        tracing::debug!("the client did not read to the end");
    }
    end
}

struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    machine: Machine,
    framer: Framer,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    channels: FuturesUnordered<BoxFuture<'static, (Bound, Option<Delivery>)>>,
    /// Owners of the open channels, one entry for each channel.
    owners: Vec<Arc<Principal>>,
    outbound: Outbound,
}

impl Connection {
    async fn converse<R: AsyncRead + Unpin>(&mut self, mut reader: R, drain: &CancellationToken) -> End {
        let mut buffer = BytesMut::with_capacity(READ_SIZE);
        // Set when nothing more is read: what is under way is answered, within limits, then the conversation ends.
        let mut ending: Option<(End, Instant)> = None;
        loop {
            if let Some((end, _)) = ending.filter(|_| self.machine.is_idle()) {
                return end;
            }
            let deadline = match ending {
                Some((_, deadline)) => Some(deadline),
                None => self.machine.deadline(),
            };
            let timer = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                () = drain.cancelled(), if ending.is_none() => Err(End::Drained),
                Some(finished) = self.running.next() => self.finished(finished),
                Some((bound, delivery)) = self.channels.next() => self.deliver(bound, delivery),
                () = timer => {
                    if let Some((end, _)) = ending {
                        return end;
                    }
                    let actions = self.machine.tick(Instant::now());
                    self.act(actions)
                }
                read = reader.read_buf(&mut buffer), if self.machine.takes_input() && ending.is_none() => match read {
                    Ok(0) => {
                        if self.framer.is_inside() {
                            metrics::counter!("cti_unexpected_messages_total", "kind" => "incomplete").increment(1);
                        }
                        Err(End::Client)
                    }
                    Ok(_) => {
                        let step = self.input(&buffer);
                        buffer.clear();
                        step
                    }
                    Err(_) => Err(End::Broken),
                },
            };
            match step {
                Ok(()) => {}
                // What came before is still answered.
                Err(end @ (End::Client | End::Drained | End::Closed(CloseReason::Malformed))) => {
                    ending = Some((end, Instant::now() + FINISH));
                }
                Err(end) => return end,
            }
        }
    }

    /// Takes bytes. All documents in them are taken in: one read is a small multiple of the smallest request, so the
    /// bound on waiting requests is exceeded by little.
    fn input(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.machine.heard(Instant::now());
        let mut documents = Vec::new();
        let fed = self.framer.feed(bytes, &mut documents);
        for document in documents {
            let sole = self.sole_owner();
            let actions = self.machine.document(&document, sole.as_ref());
            self.act(actions)?;
        }
        match fed {
            Ok(()) => Ok(()),
            Err(error) => {
                let actions = self.machine.unreadable(&error.to_string());
                self.act(actions)
            }
        }
    }

    fn sole_owner(&self) -> Option<Arc<Principal>> {
        let first = self.owners.first()?;
        self.owners.iter().all(|owner| owner == first).then(|| first.clone())
    }

    fn act(&mut self, actions: Vec<Action>) -> Result<(), End> {
        for action in actions {
            match action {
                Action::Write(bytes, after) => {
                    self.outbound.push(bytes, after).map_err(|SlowReader| End::SlowReader)?;
                }
                Action::Run(job) => {
                    let run = run::run(self.shared.clone(), self.peer.clone(), *job);
                    self.running.push(Box::pin(async move {
                        let (done, bound) = run.await;
                        Finished::Request(Box::new(done), bound)
                    }));
                }
                Action::Acknowledge(owner, document) => {
                    let run = run::acknowledge(self.shared.clone(), owner, *document);
                    self.running.push(Box::pin(async move {
                        run.await;
                        Finished::Acknowledged
                    }));
                }
                Action::Close(reason) => return Err(End::Closed(reason)),
            }
        }
        Ok(())
    }

    fn finished(&mut self, finished: Finished) -> Result<(), End> {
        let Finished::Request(done, bound) = finished else {
            self.machine.acknowledged();
            return Ok(());
        };
        let actions = self.machine.done(*done);
        self.act(actions)?;
        // After its answer is queued: events come behind it.
        if let Some(bound) = bound {
            self.owners.push(bound.owner.clone());
            self.listen(bound);
        }
        Ok(())
    }

    fn listen(&mut self, mut bound: Bound) {
        self.channels.push(Box::pin(async move {
            let delivery = bound.channel.next().await;
            (bound, delivery)
        }));
    }

    fn deliver(&mut self, bound: Bound, delivery: Option<Delivery>) -> Result<(), End> {
        let Some(delivery) = delivery else {
            let Bound { channel, owner, place } = bound;
            if let Some(at) = self.owners.iter().position(|other| Arc::ptr_eq(other, &owner)) {
                self.owners.swap_remove(at);
            }
            drop((channel, place));
            return Ok(());
        };
        let kind = match delivery.kind {
            DeliveryKind::Event => "event",
            DeliveryKind::Terminated => "terminated",
            // CTI has no heartbeats (cti.md 8).
            DeliveryKind::Heartbeat => {
                self.listen(bound);
                return Ok(());
            }
        };
        let owner = (delivery.kind == DeliveryKind::Event).then_some(&bound.owner);
        let message = self.machine.event(&delivery.bytes, owner);
        metrics::counter!("cti_events_total", "kind" => kind).increment(1);
        self.listen(bound);
        self.outbound.push(message, AfterReply::default()).map_err(|SlowReader| End::SlowReader)
    }
}
