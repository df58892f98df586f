//! Running one request: who asks, what for, and the answer (cti.md 4 and 5).

use super::identity::{ChannelPlace, Peer, Standing};
use super::machine::{Credentials, Done, Job, Proof};
use crate::settings::GeneralSettings;
use crate::wire::{self, Call, EnvelopeError, Presented};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use openadp_appserver::{Principal, request_id};
use openadp_settings::{Live, Store};
use openadp_webcontainer::{AuthError, Authenticator, ServiceLock};
use openadp_xsi_api::{Application, ChannelTransport, Method, OpenChannel, Refusal, Reply, Request, XsiApi};
use openadp_xsi_schema::{Document, Element, ErrorInfo};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Time within which every request is answered.
const ANSWER_WITHIN: Duration = Duration::from_millis(1900);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) api: XsiApi,
    pub(crate) authenticator: Authenticator,
    pub(crate) lock: ServiceLock,
    pub(crate) store: Arc<Store>,
    pub(crate) settings: Live<GeneralSettings>,
}

/// A channel that a request opened, with its owner.
pub(crate) struct Bound {
    pub(crate) channel: OpenChannel,
    pub(crate) owner: Arc<Principal>,
    pub(crate) place: ChannelPlace,
}

/// Runs a request. Never fails: what is refused is an answer.
pub(crate) async fn run(shared: Arc<Shared>, peer: Arc<Peer>, job: Job) -> (Done, Option<Bound>) {
    let id = Uuid::new_v4().to_string();
    let started = Instant::now();
    let Job { request_id: message, session_id, credentials, call } = job;
    let work = async {
        if shared.lock.refuses().is_some() {
            let locked = refusal(503, "The node is locked, try again later", Some(210_503));
            return (locked, None, Proof::Unknown);
        }
        let (principal, proof) = authenticate(&shared, &peer, credentials).await;
        match principal {
            Ok(principal) => {
                let (reply, bound) = answer(&shared, &peer, principal, &call).await;
                (reply, bound, proof)
            }
            Err(reply) => (*reply, None, proof),
        }
    };
    let (reply, bound, proof) = timeout(ANSWER_WITHIN, request_id::scope(id.clone(), work))
        .await
        .unwrap_or_else(|_| (refusal(503, "No answer in time", None), None, Proof::Unknown));
    let call = call.as_ref().ok();
    tracing::info!(
        connection = peer.connection,
        request_id = %id,
        wrapper = call.filter(|call| wire::declared_method(&call.wrapper).is_some()).map_or("other", |call| &call.wrapper),
        status = reply.status,
        milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    metrics::counter!("cti_requests_total", "status" => class(reply.status)).increment(1);
    metrics::histogram!("cti_request_seconds").record(started.elapsed().as_secs_f64());
    let reason = reply.reason();
    let Reply { status, document, after, .. } = reply;
    (Done { request_id: message, session_id, proof, status, reason, document, after }, bound)
}

/// Hands on the answer to an event; what comes of it is of no interest to the client.
pub(crate) async fn acknowledge(shared: Arc<Shared>, owner: Arc<Principal>, document: Element) {
    let reply = shared
        .api
        .dispatch(Request {
            application: Application::Events,
            method: Method::Post,
            path: "channel/eventresponse".to_owned(),
            query: String::new(),
            document: Some(document),
            principal: (*owner).clone(),
        })
        .await;
    metrics::counter!("cti_event_responses_total", "status" => class(reply.status)).increment(1);
}

fn class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Who asks, or the refusal; and what was proven.
async fn authenticate(
    shared: &Shared,
    peer: &Peer,
    credentials: Credentials,
) -> (Result<Principal, Box<Reply>>, Proof) {
    let standing = peer.standing(&shared.store.current());
    let presented = match credentials {
        Credentials::None => None,
        Credentials::Given(presented) | Credentials::Remembered(presented) => Some(presented),
    };
    let error = match &presented {
        None => AuthError::Missing,
        Some(presented) => match verify(&shared.authenticator, peer, presented).await {
            Ok(principal) => return (Ok(principal), Proof::Accepted(Some(presented.clone()))),
            Err(error) => error,
        },
    };
    match (error, standing) {
        // A client application may send anything in place of credentials, or nothing (cti.md 4.3, rule 3).
        (
            AuthError::Missing
            | AuthError::Refused
            | AuthError::PasswordExpired { .. }
            | AuthError::TooManyFailures { .. },
            Standing::ClientApplication(client_id),
        ) => {
            #[expect(clippy::disallowed_methods, reason = "its certificate was verified and is listed")]
            let client = Principal::client_application(client_id);
            (Ok(client), Proof::Accepted(None))
        }
        (AuthError::Missing, Standing::Unlisted) => (
            Err(Box::new(refusal(
                403,
                "The certificate is not that of a known client application",
                Some(210_403),
            ))),
            Proof::Unknown,
        ),
        (AuthError::Missing | AuthError::Refused | AuthError::PasswordExpired { .. }, _) => {
            (Err(Box::new(Reply::empty(401))), Proof::Refused)
        }
        (AuthError::TooManyFailures { left }, _) => {
            let refused = Refusal::TooManyFailures { seconds: left.as_secs() + 1 };
            (Err(Box::new(Reply::refused(&refused))), Proof::Refused)
        }
        (AuthError::Unavailable(_), _) => (
            Err(Box::new(refusal(503, "The application server cannot be reached", Some(210_503)))),
            Proof::Unknown,
        ),
        (AuthError::Internal(source), _) => {
            tracing::error!(connection = peer.connection, error = %source, "authentication failed inside");
            (Err(Box::new(refusal(500, "Internal fault", Some(210_500)))), Proof::Unknown)
        }
    }
}

async fn verify(
    authenticator: &Authenticator,
    peer: &Peer,
    presented: &Presented,
) -> Result<Principal, AuthError> {
    match presented {
        Presented::None => Err(AuthError::Missing),
        Presented::Malformed => Err(AuthError::Refused),
        Presented::Authorization(value) => {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| AuthError::Refused)?;
            value.set_sensitive(true);
            let address = peer.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            authenticator.authenticate(&HeaderMap::from_iter([(AUTHORIZATION, value)]), address).await
        }
        Presented::SingleSignOn { user, token } => {
            let principal = authenticator.authenticate_token(token.expose()).await?;
            if principal.id().eq_ignore_ascii_case(user) { Ok(principal) } else { Err(AuthError::Refused) }
        }
    }
}

/// What an authenticated request gives.
async fn answer(
    shared: &Shared,
    peer: &Arc<Peer>,
    principal: Principal,
    call: &Result<Call, EnvelopeError>,
) -> (Reply, Option<Bound>) {
    let request = match call.as_ref().map_err(ToString::to_string).and_then(|call| request(call, principal)) {
        Ok(request) => request,
        Err(reason) => return (refusal(400, &reason, Some(210_400)), None),
    };
    if !request.opens_channel() {
        return (shared.api.dispatch(request).await, None);
    }
    let most = shared.settings.load().max_channels;
    let Some(place) = ChannelPlace::take(peer, most) else {
        return (refusal(403, "The limit of channels of one connection is reached", Some(210_411)), None);
    };
    let opened = shared
        .api
        .open_channel(&request.principal, request.document.as_ref(), ChannelTransport::Connection)
        .await;
    match opened {
        Ok(channel) => {
            let reply = Reply::document(200, channel.document().clone());
            (reply, Some(Bound { channel, owner: Arc::new(request.principal), place }))
        }
        Err(reply) => (*reply, None),
    }
}

/// The request of a call, or why there is none.
fn request(call: &Call, principal: Principal) -> Result<Request, String> {
    let method = Method::parse(&call.method).ok_or("method is not one of GET, POST, PUT and DELETE")?;
    if let Some(declared) = wire::declared_method(&call.wrapper)
        && declared != method.as_str()
    {
        return Err(format!("the method of this request is {declared}"));
    }
    let target = wire::expand(call).map_err(|error| error.to_string())?;
    Ok(Request {
        application: target.application,
        method,
        path: target.path,
        query: target.query,
        document: call.document.clone(),
        principal,
    })
}

fn refusal(status: u16, summary: &str, code: Option<u32>) -> Reply {
    Reply::document(status, ErrorInfo::new(summary, code).to_element())
}
