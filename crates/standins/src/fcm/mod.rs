//! Firebase Cloud Messaging: `POST /oauth2/v4/token` (and `/token`) gives access tokens, and
//! `POST /v1/projects/<id>/messages:send` takes messages with them.
//!
//! As strict as the real one: unknown members are errors. Bodies of answers are those of `protocols/nps.md` sections 6
//! and 12.

mod error;
mod message;
mod oauth;

use crate::handle::{Environment, Handle, StartError};
use crate::jws::PublicKey;
use crate::record::{FcmPush, Log, Received, Verdict};
use crate::server::{self, BodyFault, Connection, Provider, Reply, Scripts};
use crate::{Millis, UnknownTokens};
use error::Refusal;
use http::{Method, Request};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest request body; messages may have 4096 bytes of data, and some envelope.
const BODY: usize = 64 * 1024;
/// Most registration tokens and access tokens remembered.
const TOKENS: usize = 100_000;
/// Streams a connection may have at once, as Google announces.
const STREAMS: u32 = 100;

/// A project and the service account that sends for it.
#[derive(Debug, Clone)]
pub struct Project {
    /// Project id.
    pub project_id: String,
    /// E-mail address of the service account.
    pub client_email: String,
    /// Id of its key.
    pub key_id: String,
    /// Public key in PEM (`BEGIN PUBLIC KEY`), RSA of at least 2048 bits.
    pub public_key: String,
}

/// What the stand-in knows.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Projects.
    pub projects: Vec<Project>,
    /// Registration tokens and the project each belongs to.
    pub tokens: Vec<(String, String)>,
    /// What to do with others.
    pub unknown_tokens: UnknownTokens,
}

struct Account {
    project_id: String,
    key_id: String,
    key: PublicKey,
}

struct Device {
    project: String,
    unregistered: bool,
}

/// An access token that was given out.
struct Access {
    project: String,
    /// Milliseconds since 1970.
    expires: i64,
}

struct Fcm {
    /// By e-mail address.
    accounts: HashMap<String, Account>,
    devices: Arc<Mutex<HashMap<String, Device>>>,
    unknown: UnknownTokens,
    access: Arc<Mutex<HashMap<String, Access>>>,
    clock: Millis,
    log: Arc<Log>,
    scripts: Arc<Scripts>,
}

/// The running stand-in: its [`Handle`], registration tokens and access tokens.
#[derive(Clone)]
pub struct FcmHandle {
    handle: Handle,
    devices: Arc<Mutex<HashMap<String, Device>>>,
    access: Arc<Mutex<HashMap<String, Access>>>,
    clock: Millis,
}

impl FcmHandle {
    /// Registers a token for a project.
    pub fn register(&self, token: &str, project: &str) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.insert(token.to_owned(), Device { project: project.to_owned(), unregistered: false });
    }
    /// Makes a registered token dead.
    pub fn unregister(&self, token: &str) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = devices.get_mut(token) {
            device.unregistered = true;
        }
    }
    /// Gives an access token for a project to whoever has one already by other ways.
    pub fn access_token(&self, project: &str, seconds: i64) -> String {
        let token = format!("ya29.{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let expires = (self.clock)() + seconds * 1000;
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if access.len() < TOKENS {
            access.insert(token.clone(), Access { project: project.to_owned(), expires });
        }
        token
    }
    /// Voids all access tokens given out so far.
    pub fn void_access_tokens(&self) {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl std::ops::Deref for FcmHandle {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// Starts the stand-in.
///
/// # Errors
/// The address cannot be bound, certificate or key cannot be used, or a public key is not one.
pub async fn start(environment: Environment, config: Config) -> Result<FcmHandle, StartError> {
    let mut accounts = HashMap::new();
    for project in config.projects {
        let key = PublicKey::rs256(&project.public_key)
            .ok_or_else(|| StartError::PublicKey(project.key_id.clone()))?;
        let account = Account { project_id: project.project_id, key_id: project.key_id, key };
        accounts.insert(project.client_email, account);
    }
    let devices = config
        .tokens
        .into_iter()
        .map(|(token, project)| (token, Device { project, unregistered: false }))
        .collect();
    let devices = Arc::new(Mutex::new(devices));
    let access = Arc::new(Mutex::default());
    let log = Arc::new(Log::new(environment.sink.clone()));
    let scripts = Arc::new(Scripts::new());
    let fcm = Fcm {
        accounts,
        devices: devices.clone(),
        unknown: config.unknown_tokens,
        access: access.clone(),
        clock: environment.clock.clone(),
        log: log.clone(),
        scripts: scripts.clone(),
    };
    let address = server::start(&environment, Arc::new(fcm), scripts.clone()).await?;
    Ok(FcmHandle {
        handle: Handle { address, log, scripts },
        devices,
        access,
        clock: environment.clock.clone(),
    })
}

impl Provider for Fcm {
    const ALPN: &'static [&'static [u8]] = &[b"h2", b"http/1.1"];
    const ONE_STREAM_FIRST: bool = false;

    fn max_concurrent_streams(&self) -> u32 {
        STREAMS
    }

    async fn answer(self: Arc<Self>, connection: Arc<Connection>, request: Request<Incoming>) -> Reply {
        let path = request.uri().path();
        if request.method() == Method::POST {
            if path == "/oauth2/v4/token" || path == "/token" {
                return Reply::Response(self.grant(request).await);
            }
            if let Some(project) =
                path.strip_prefix("/v1/projects/").and_then(|p| p.strip_suffix("/messages:send"))
                && !project.is_empty()
                && !project.contains('/')
            {
                let project = project.to_owned();
                return self.send(&connection, &project, request).await;
            }
        }
        Reply::Response(server::raw(
            404,
            "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>".to_owned(),
            "text/html",
        ))
    }
}

impl Fcm {
    async fn send(&self, connection: &Connection, project: &str, request: Request<Incoming>) -> Reply {
        let (head, incoming) = request.into_parts();
        let mut push = FcmPush {
            at: (self.clock)(),
            connection: connection.number,
            project: project.to_owned(),
            body: Value::Null,
            name: None,
            verdict: Verdict { status: 200, reason: None },
        };
        let body = server::body(incoming, BODY).await;
        let judged = self.judge(&head.headers, project, body, &mut push);
        let reply = if let Err(refusal) = judged {
            push.verdict = Verdict { status: refusal.status(), reason: Some(refusal.reason().to_owned()) };
            Reply::Response(refusal.response())
        } else {
            let name = format!("projects/{project}/messages/0:{}", uuid::Uuid::new_v4().simple());
            let (reply, status, reason) = server::play(
                &self.scripts,
                self.scripts.next(),
                |status, code| Refusal::scripted(status, code).response(),
                || server::json(200, &json!({ "name": name })),
            )
            .await;
            push.name = (status == 200).then(|| name.clone());
            push.verdict = Verdict { status, reason };
            reply
        };
        self.log.add(Received::Fcm(push));
        reply
    }

    fn judge(
        &self,
        headers: &http::HeaderMap,
        project: &str,
        body: Result<bytes::Bytes, BodyFault>,
        push: &mut FcmPush,
    ) -> Result<(), Refusal> {
        self.check_access(headers, project, push.at)?;
        let body = body.map_err(|fault| match fault {
            BodyFault::TooLong => Refusal::too_big(),
            BodyFault::Broken => Refusal::bad_request("", "The request body could not be read."),
        })?;
        push.body = serde_json::from_slice(&body)
            .map_err(|_| Refusal::bad_request("", "Invalid JSON payload received. Expected a value."))?;
        let checked = message::check(&push.body)?;
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        match devices.get(&checked.token) {
            Some(device) if device.project != project => Err(Refusal::SenderIdMismatch),
            Some(device) if device.unregistered => Err(Refusal::Unregistered),
            Some(_) => Ok(()),
            None if self.unknown == UnknownTokens::Refuse || !message::well_formed(&checked.token) => {
                Err(Refusal::BadToken)
            }
            None => {
                if devices.len() < TOKENS {
                    let device = Device { project: project.to_owned(), unregistered: false };
                    devices.insert(checked.token, device);
                }
                Ok(())
            }
        }
    }

    fn check_access(&self, headers: &http::HeaderMap, project: &str, now: i64) -> Result<(), Refusal> {
        let Some(authorization) = headers.get(http::header::AUTHORIZATION) else {
            return Err(Refusal::NoAccessToken);
        };
        let token = authorization
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token)
            .ok_or(Refusal::BadAccessToken)?;
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        let access =
            access.get(token).filter(|access| access.expires > now).ok_or(Refusal::BadAccessToken)?;
        if !self.accounts.values().any(|account| account.project_id == project) {
            return Err(Refusal::NoProject);
        }
        if access.project != project {
            return Err(Refusal::NoPermission(project.to_owned()));
        }
        Ok(())
    }
}
