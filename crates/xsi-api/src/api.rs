//! The way of a request: which application, which resource, whose, and the answer or the error in its wire form.

use crate::delivery::{self, Hub};
use crate::error::ApiError;
use crate::limits::Limiter;
use crate::patience::Patience;
use crate::settings::{ActionsGeneral, ActionsPaging};
use crate::text::{Query, percent_decode};
use crate::{
    Application, ChannelTransport, ContactSender, Method, OpenChannel, Reply, Request, actions, events,
};
use openadp_appserver::{AccountKind, AdminLevel, Owner, Ports, Principal, UserId};
use openadp_settings::{Live, Store};
use openadp_xsi_schema::{Document, Element, ErrorInfo};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most segments of a path; the longest resource has eight.
const MAX_SEGMENTS: usize = 16;
/// Most characters of an id in a path or document.
pub(crate) const MAX_ID: usize = 256;
/// Seconds after which a refused client may try again.
const RETRY_AFTER: &str = "1";

/// What [`XsiApi`] is made of.
#[derive(Clone)]
pub struct Deps {
    /// The application server.
    pub ports: Ports,
    /// The settings; [`crate::MODULE`] must be registered.
    pub store: Arc<Store>,
    /// The tasks of event delivery run in here.
    pub tasks: TaskTracker,
    /// They end with it, and all channels with them.
    pub shutdown: CancellationToken,
    /// Posts events to addresses of clients; without it another process has to.
    pub contacts: Option<Arc<dyn ContactSender>>,
}

/// XSI of one process; clones share everything.
#[derive(Clone)]
pub struct XsiApi(Arc<Inner>);

pub(crate) struct Inner {
    tasks: TaskTracker,
    pub(crate) ports: Ports,
    pub(crate) hub: Arc<Hub>,
    pub(crate) actions: Live<ActionsGeneral>,
    pub(crate) paging: Live<ActionsPaging>,
    limiter: Limiter,
    patience: Patience,
}

/// A request on its way through a resource.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Inner,
    pub(crate) principal: &'a Principal,
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) document: Option<&'a Element>,
}

/// Result of a resource.
pub(crate) type Outcome = Result<Reply, ApiError>;

/// The segments of a path: decoded for ids, in lower case for names.
pub(crate) struct Path {
    decoded: Vec<String>,
    folded: Vec<String>,
}

impl Path {
    fn parse(path: &str) -> Option<Self> {
        let raw: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        if raw.len() > MAX_SEGMENTS {
            return None;
        }
        let decoded: Vec<String> = raw.into_iter().map(percent_decode).collect();
        let folded = decoded.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        Some(Self { decoded, folded })
    }
    /// The names, in lower case, to match on.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.folded.iter().map(String::as_str).collect()
    }
    /// The id at a place, as it came.
    pub(crate) fn id(&self, index: usize) -> &str {
        self.decoded.get(index).map_or("", String::as_str)
    }
}

impl Request {
    /// Whether it opens a channel, which is for [`XsiApi::open_channel`] and not for [`XsiApi::dispatch`].
    pub fn opens_channel(&self) -> bool {
        self.application == Application::Events
            && self.method == Method::Post
            && self.path.trim_matches('/').eq_ignore_ascii_case("channel")
    }
}

impl XsiApi {
    /// Starts event delivery. Needs a tokio runtime.
    pub fn new(deps: Deps) -> Self {
        let hub = Hub::new(deps.ports.clone(), &deps.store, deps.contacts, deps.tasks.clone());
        delivery::spawn(&hub, &deps.tasks, &deps.shutdown);
        Self(Arc::new(Inner {
            hub,
            actions: deps.store.live(),
            paging: deps.store.live(),
            limiter: Limiter::new(&deps.store),
            patience: Patience::new(&deps.store),
            ports: deps.ports,
            tasks: deps.tasks,
        }))
    }

    /// Opens a channel: the transport writes its document, then what comes, and drops it when the connection is gone.
    ///
    /// # Errors
    /// The reply to send in place of the channel.
    pub async fn open_channel(
        &self,
        principal: &Principal,
        document: Option<&Element>,
        transport: ChannelTransport,
    ) -> Result<OpenChannel, Box<Reply>> {
        // In a task of its own: a caller that gives up in between leaves no record of a channel without connection, since
        // the channel is then dropped whole.
        let (api, principal, document) = (self.0.clone(), principal.clone(), document.cloned());
        let opening = async move { events::open(&api, &principal, document.as_ref(), transport).await };
        let opening = self.0.tasks.spawn(opening);
        let opened = async {
            opening.await.unwrap_or_else(|error| {
                tracing::error!(error = %error, "opening a channel ended early");
                Err(ApiError::Internal { source: None })
            })
        };
        self.0.patience.once(opened).await.map_err(|error| Box::new(refusal(&error)))
    }

    /// Answers a request. Never fails: what is refused is a [`Reply`] with `ErrorInfo`.
    pub async fn dispatch(&self, request: Request) -> Reply {
        let outcome = self.route(&request).await;
        let reply = outcome.unwrap_or_else(|error| refusal(&error));
        metrics::counter!("xsi_requests_total", "application" => match request.application {
            Application::Actions => "actions",
            Application::Events => "events",
        }, "status" => status_class(reply.status))
        .increment(1);
        reply
    }

    async fn route(&self, request: &Request) -> Outcome {
        let path = Path::parse(&request.path).ok_or(ApiError::ResourceNotFound)?;
        let call = Call {
            api: &self.0,
            principal: &request.principal,
            method: request.method,
            query: Query::parse(&request.query),
            document: request.document.as_ref(),
        };
        if request.application == Application::Actions {
            let directory = matches!(*path.names(), ["user", _, "directories", ..]);
            self.0.limiter.admit(&request.principal, directory)?;
        }
        let question = || async {
            match request.application {
                Application::Actions => actions::route(&call, &path).await,
                Application::Events => events::route(&call, &path).await,
            }
        };
        match request.method {
            Method::Get => self.0.patience.ask(question).await,
            Method::Delete | Method::Post | Method::Put => self.0.patience.once(question()).await,
        }
    }
}

impl std::fmt::Debug for XsiApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XsiApi").finish_non_exhaustive()
    }
}

fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// The answer that an error gives.
pub(crate) fn refusal(error: &ApiError) -> Reply {
    match error {
        ApiError::Internal { source: Some(source) } => {
            tracing::error!(error = %delivery::chain(source), "a request failed");
        }
        ApiError::Unavailable { source } => {
            tracing::warn!(error = %delivery::chain(source), "the application server did not answer");
        }
        other => tracing::debug!(error = %other, "a request was refused"),
    }
    let wire = error.wire();
    let info = ErrorInfo::new(wire.summary, Some(wire.code));
    let mut reply = Reply::document(wire.status, info.to_element());
    if let Some(allow) = wire.allow {
        reply = reply.header("Allow", allow);
    }
    if let ApiError::TooManyFailures { seconds } = error {
        reply = reply.header("Retry-After", seconds.to_string());
    }
    if wire.status == 503 {
        reply = reply.header("Retry-After", RETRY_AFTER);
    }
    reply
}

impl Call<'_> {
    /// The subscriber of a path, when the principal may see it (xsi.md 2.1). Somebody else of the own enterprise is forbidden;
    /// whoever is outside of it, and whoever is not, are both not found, so that nobody learns who is elsewhere.
    pub(crate) async fn subscriber(&self, id: &str) -> Result<UserId, ApiError> {
        const UNKNOWN: ApiError = ApiError::NotFound { what: "user" };
        if id.is_empty() || id.len() > MAX_ID {
            return Err(UNKNOWN);
        }
        let user = UserId::new(id);
        if matches!(self.principal, Principal::Subscriber { user_id, .. } if *user_id == user) {
            return Ok(user);
        }
        let AccountKind::Subscriber { provider, group } =
            self.api.ports.credentials.account(&user).await?.kind
        else {
            return Err(UNKNOWN);
        };
        if self.principal.may_access(&user, &provider, &group) {
            Ok(user)
        } else if own_provider(self.principal) == Some(&provider) {
            Err(ApiError::Forbidden)
        } else {
            Err(UNKNOWN)
        }
    }

    /// Refuses what changes something, for client applications that may only read and subscribe (cti.md 4.3, rule 4).
    pub(crate) fn may_control(&self) -> Result<(), ApiError> {
        match self.principal {
            Principal::ClientApplication { .. } if !self.api.actions.load().client_application_control => {
                Err(ApiError::Forbidden)
            }
            _ => Ok(()),
        }
    }

    /// Who owns what the principal makes.
    pub(crate) fn owner(&self) -> Owner {
        owner_of(self.principal)
    }

    /// The document of the request.
    pub(crate) fn document(&self, root: &str) -> Result<&Element, ApiError> {
        self.document.ok_or_else(|| ApiError::BadDocument { reason: format!("{root} is missing") })
    }

    /// The document of the request, as a type.
    pub(crate) fn read<T: Document>(&self) -> Result<T, ApiError> {
        let element = self.document(T::ROOT)?;
        T::from_element(element).map_err(|error| ApiError::BadDocument { reason: error.to_string() })
    }
}

/// The service provider or enterprise that an account belongs to; system administrators and clients belong to none.
pub(crate) fn own_provider(principal: &Principal) -> Option<&String> {
    match principal {
        Principal::Subscriber { provider, .. }
        | Principal::Administrator {
            level: AdminLevel::Group { provider, .. } | AdminLevel::ServiceProvider { provider },
            ..
        } => Some(provider),
        Principal::Administrator { level: AdminLevel::System, .. } | Principal::ClientApplication { .. } => {
            None
        }
    }
}

/// Who owns what a principal makes.
pub(crate) fn owner_of(principal: &Principal) -> Owner {
    match principal {
        Principal::Administrator { user_id, .. } | Principal::Subscriber { user_id, .. } => {
            Owner::User(user_id.clone())
        }
        Principal::ClientApplication { client_id, .. } => Owner::Client(client_id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_folded_and_ids_are_not() {
        let path = Path::parse("/User/Alice%40Lab.example//Calls/").expect("short enough");
        assert_eq!(path.names(), ["user", "alice@lab.example", "calls"]);
        assert_eq!(path.id(1), "Alice@Lab.example");
        assert_eq!(path.id(9), "");
        assert!(Path::parse(&"a/".repeat(17)).is_none());
    }

    proptest! {
        #[test]
        fn any_path_can_be_looked_at(text in "([a-z/%0-9@]|\\PC){0,80}") {
            if let Some(path) = Path::parse(&text) {
                prop_assert!(path.names().len() <= MAX_SEGMENTS);
            }
        }
    }
}
