//! The way of a request: who asks, what is in the body, the answer in its form.

mod body;
mod challenge;
mod stream;

use crate::wire::{cookie, form::Form, path};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use body::AnswerBody;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, StatusCode};
use openadp_appserver::{Principal, request_id};
use openadp_webcontainer::{AuthError, Authenticator, BodyError, ConnectionInfo, read_body};
use openadp_xsi_api::{Application, Method, Refusal, Reply, Request, XsiApi};
use openadp_xsi_schema::{Element, ReadLimits};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Bytes of a request's document: the largest that clients send, push registrations, have a few thousand.
const MAX_DOCUMENT: usize = 256 * 1024;

/// What a request needs.
#[derive(Clone)]
pub(crate) struct Edge {
    api: XsiApi,
    authenticator: Authenticator,
    tasks: TaskTracker,
}

impl Edge {
    pub(crate) fn new(api: XsiApi, authenticator: Authenticator, tasks: TaskTracker) -> Self {
        Self { api, authenticator, tasks }
    }
}

/// A router for one of the applications: every path goes to XSI's own dispatch, which knows its resources.
pub(crate) fn router(edge: Edge, application: Application) -> Router {
    Router::new().fallback(handle).with_state((edge, application))
}

/// What the head of a request says about its answer.
struct Head {
    application: Application,
    form: Form,
    query: String,
    headers: HeaderMap,
    /// Where it came from.
    source: IpAddr,
}

async fn handle(State((edge, application)): State<(Edge, Application)>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let info = parts.extensions.get::<Arc<ConnectionInfo>>();
    let source = info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.peer.ip());
    let head = Head { application, form: Form::asked(&query, accept), query, headers: parts.headers, source };
    match serve(&edge, &head, &parts.method, parts.uri.path(), body).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = answer(&head, Reply::refused(&refusal));
            if refusal == Refusal::Unauthenticated {
                challenge::add(&head.headers, response.headers_mut());
            }
            response
        }
    }
}

async fn serve(
    edge: &Edge,
    head: &Head,
    method: &HttpMethod,
    path: &str,
    body: Body,
) -> Result<Response, Refusal> {
    let principal = authenticate(edge, head).await?;
    // A HEAD is answered as a GET; hyper keeps the body back.
    let method = if *method == HttpMethod::HEAD {
        Method::Get
    } else {
        Method::parse(method.as_str()).ok_or(Refusal::UnknownMethod)?
    };
    let path = path::below_version(path).ok_or(Refusal::ResourceNotFound)?;
    let document = if takes_document(method, path) { read_document(body).await? } else { None };
    let request = Request {
        application: head.application,
        method,
        path: path.to_owned(),
        query: head.query.clone(),
        document,
        principal,
    };
    if request.opens_channel() {
        return Ok(stream::open(edge, head, request).await);
    }
    Ok(answer(head, dispatch(edge, request).await))
}

async fn authenticate(edge: &Edge, head: &Head) -> Result<Principal, Refusal> {
    edge.authenticator.authenticate(&head.headers, head.source).await.map_err(|error| match error {
        AuthError::Missing | AuthError::Refused | AuthError::PasswordExpired { .. } => {
            Refusal::Unauthenticated
        }
        AuthError::TooManyFailures { left } => Refusal::TooManyFailures { seconds: left.as_secs() + 1 },
        AuthError::Unavailable(source) => {
            tracing::warn!(error = %source, "credentials cannot be checked now");
            Refusal::Unavailable
        }
        AuthError::Internal(source) => {
            tracing::error!(error = %source, "authentication failed inside");
            Refusal::Internal
        }
    })
}

/// Reads nothing that is not needed: one client declares a body for its heartbeat and never sends it (xsi.md 5.4).
fn takes_document(method: Method, path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match method {
        Method::Delete | Method::Get => false,
        Method::Post | Method::Put => !last.eq_ignore_ascii_case("heartbeat"),
    }
}

async fn read_document(body: Body) -> Result<Option<Element>, Refusal> {
    let bytes = read_body(body, MAX_DOCUMENT).await.map_err(|error| match error {
        BodyError::Broken(_) => Refusal::BadBody { reason: "the body broke off".to_owned() },
        BodyError::Timeout => Refusal::Timeout,
        BodyError::TooLarge { .. } => Refusal::TooLarge,
    })?;
    crate::wire::form::document(&bytes, &ReadLimits::with_bytes(MAX_DOCUMENT)).map_err(|error| {
        if error.is_limit() { Refusal::TooLarge } else { Refusal::BadBody { reason: error.to_string() } }
    })
}

/// What changes something goes on when the client disappears, so that it is done whole; reads end with it.
async fn dispatch(edge: &Edge, request: Request) -> Reply {
    if request.method == Method::Get {
        return edge.api.dispatch(request).await;
    }
    let api = edge.api.clone();
    let id = request_id::current().unwrap_or_default();
    let work = request_id::scope(id, async move { api.dispatch(request).await });
    edge.tasks.spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "a request's task ended early");
        Reply::refused(&Refusal::Internal)
    })
}

/// Writes a reply.
fn answer(head: &Head, reply: Reply) -> Response {
    let written = reply.document.as_ref().map(|document| head.form.write(document));
    let (bytes, content_type) = written.unzip();
    let mut response = Response::new(Body::new(AnswerBody::new(bytes, reply.after)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in &reply.headers {
        // URIs of documents begin at /v2.0; in a header they have to be whole.
        let value = if matches!(*name, "Location" | "Content-Location") && value.starts_with("/v2.0/") {
            format!("{}{value}", context(head.application))
        } else {
            value.clone()
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    if reply.status < 400 {
        add_cookie(head, headers);
    }
    response
}

fn context(application: Application) -> &'static str {
    match application {
        Application::Actions => crate::ACTIONS,
        Application::Events => crate::EVENTS,
    }
}

fn add_cookie(head: &Head, headers: &mut HeaderMap) {
    let mut cookies = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    if cookies.any(cookie::present) {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(cookie::set(head.application, uuid::Uuid::new_v4())) {
        headers.insert(SET_COOKIE, value);
    }
}
