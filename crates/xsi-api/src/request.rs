//! What a transport hands in and gets back.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openadp_appserver::Principal;
use openadp_xsi_schema::Element;
use tokio::sync::{mpsc, oneshot};

/// Method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Delete.
    Delete,
    /// Read.
    Get,
    /// Create, or do.
    Post,
    /// Change, or do.
    Put,
}

impl Method {
    /// The method of its name in capitals.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "DELETE" => Some(Self::Delete),
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            _ => None,
        }
    }
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Which of the two applications a request is for: what its context path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Application {
    /// `com.broadsoft.xsi-actions`.
    Actions,
    /// `com.broadsoft.xsi-events`, with or without `com.broadsoft.async` before it.
    Events,
}

/// One request, without transport.
#[derive(Debug, Clone)]
pub struct Request {
    /// Application.
    pub application: Application,
    /// Method.
    pub method: Method,
    /// Path after `/v2.0/`, still percent-encoded: `user/alice%40lab.example/calls`. A leading slash is ignored.
    pub path: String,
    /// What followed the `?`, still encoded; empty when there was none.
    pub query: String,
    /// The document of the body.
    pub document: Option<Element>,
    /// Who asks.
    pub principal: Principal,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers: `Location`, `Content-Location`, `Allow`, `Retry-After`.
    pub headers: Vec<(&'static str, String)>,
    /// The document, if any.
    pub document: Option<Element>,
    /// Drop it when the answer is written: what must come later (the initial event of a subscription) waits for that.
    pub after: AfterReply,
}

impl Reply {
    /// An empty answer.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), document: None, after: AfterReply::default() }
    }
    /// An answer with a document.
    pub fn document(status: u16, root: Element) -> Self {
        Self { document: Some(root), ..Self::empty(status) }
    }
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// The reason phrase of its status, for transports that carry one.
    pub fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            201 => "Created",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            413 => "Payload Too Large",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        }
    }
}

/// Holds back what must come after the answer, until it is dropped.
#[derive(Debug, Default)]
pub struct AfterReply(Option<oneshot::Sender<()>>);

impl AfterReply {
    /// A guard and what resolves when it is dropped.
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }
    /// Whether anything waits for the answer to be written.
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }
}

/// How documents are put on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelTransport {
    /// A connection of its own protocol (CTI): bare `xsi:Event` elements without declaration, no heartbeats either way;
    /// the channel lives as long as the connection.
    Connection,
    /// None: a process posts each document to an address (xsi.md 5.9). No transport asks for it.
    Contact,
    /// An HTTP response (xsi.md 5.3): each document with declaration and line feed, heartbeats both ways.
    Stream,
}

/// Posts events to addresses of clients, for a transport that can.
pub trait ContactSender: Send + Sync {
    /// Posts a document within this time; whether the other side took it, with any 2xx. Follows no redirect.
    fn post(&self, uri: String, document: Bytes, timeout: std::time::Duration) -> BoxFuture<'static, bool>;
}

/// What kind of document is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// An `xsi:Event` of type SubscriptionEvent; wants an EventResponse.
    Event,
    /// A `ChannelHeartBeat`; only on [`ChannelTransport::Stream`].
    Heartbeat,
    /// The `ChannelTerminatedEvent`; the last document.
    Terminated,
}

/// One document for a channel, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Kind.
    pub kind: DeliveryKind,
    /// Its bytes, as the channel's transport wants them.
    pub bytes: Bytes,
}

/// A channel that was opened. Dropping it tells that the connection is gone: the channel ends without a word, its
/// subscriptions wait for the next channel of the set.
pub struct OpenChannel {
    pub(crate) id: String,
    pub(crate) document: Element,
    pub(crate) receiver: mpsc::Receiver<Delivery>,
    pub(crate) last: std::sync::Arc<std::sync::OnceLock<Bytes>>,
    pub(crate) ended: bool,
    pub(crate) on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl OpenChannel {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// The `Channel` document that answers the request.
    pub fn document(&self) -> &Element {
        &self.document
    }
    /// The next document; `None` when the channel is over. Cancel safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
    /// Polls for the next document.
    pub fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Delivery>> {
        if self.ended {
            return std::task::Poll::Ready(None);
        }
        self.receiver.poll_recv(context).map(|received| {
            received.or_else(|| {
                self.ended = true;
                self.last.get().map(|bytes| Delivery { kind: DeliveryKind::Terminated, bytes: bytes.clone() })
            })
        })
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        if let Some(tell) = self.on_drop.take() {
            tell();
        }
    }
}

impl std::fmt::Debug for OpenChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenChannel")
            .field("id", &self.id)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
