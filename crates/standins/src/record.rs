//! The bounded record of what a stand-in received.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Enough to look at after any test and in a lab that runs for days.
const KEPT: usize = 1000;

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// HTTP status.
    pub status: u16,
    /// Reason code; `None` when accepted.
    pub reason: Option<String>,
}

/// A push at the APNs stand-in.
#[derive(Debug, Clone)]
pub struct ApnsPush {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Number of the connection.
    pub connection: u64,
    /// Device token.
    pub token: String,
    /// `apns-topic`.
    pub topic: String,
    /// `apns-push-type`.
    pub push_type: String,
    /// `apns-priority`.
    pub priority: String,
    /// `apns-expiration`.
    pub expiration: String,
    /// `apns-collapse-id`.
    pub collapse_id: Option<String>,
    /// `apns-id`, given or generated.
    pub id: String,
    /// The `iat` of the provider token, seconds.
    pub issued_at: Option<i64>,
    /// The payload, if it was JSON.
    pub payload: serde_json::Value,
    /// How it was answered.
    pub verdict: Verdict,
}

/// A push at the FCM stand-in.
#[derive(Debug, Clone)]
pub struct FcmPush {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Number of the connection.
    pub connection: u64,
    /// Project of the path.
    pub project: String,
    /// The body, if it was JSON.
    pub body: serde_json::Value,
    /// `projects/.../messages/...` of an accepted message.
    pub name: Option<String>,
    /// How it was answered.
    pub verdict: Verdict,
}

/// A request for an access token.
#[derive(Debug, Clone)]
pub struct TokenGrant {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// `iss` of the assertion, if it could be read.
    pub issuer: String,
    /// Seconds that the assertion was good for.
    pub lifetime: i64,
    /// How it was answered.
    pub verdict: Verdict,
}

/// A question to the identity cloud.
#[derive(Debug, Clone)]
pub struct IdentityQuestion {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Which of its endpoints.
    pub endpoint: crate::identity::Endpoint,
    /// The client that asked, if it is known.
    pub client: Option<String>,
    /// The user that it asked about, if it is known.
    pub user: Option<String>,
    /// How it was answered.
    pub verdict: Verdict,
}

/// Anything a stand-in received.
#[derive(Debug, Clone)]
pub enum Received {
    /// A push at APNs.
    Apns(ApnsPush),
    /// A push at FCM.
    Fcm(FcmPush),
    /// A request for an access token.
    Grant(TokenGrant),
    /// A question to the identity cloud.
    Identity(IdentityQuestion),
}

impl Received {
    /// How it was answered.
    pub fn verdict(&self) -> &Verdict {
        match self {
            Self::Apns(push) => &push.verdict,
            Self::Fcm(push) => &push.verdict,
            Self::Grant(grant) => &grant.verdict,
            Self::Identity(question) => &question.verdict,
        }
    }
    /// The push at APNs, if it is one.
    pub fn apns(&self) -> Option<&ApnsPush> {
        match self {
            Self::Apns(push) => Some(push),
            Self::Fcm(_) | Self::Grant(_) | Self::Identity(_) => None,
        }
    }
    /// The push at FCM, if it is one.
    pub fn fcm(&self) -> Option<&FcmPush> {
        match self {
            Self::Fcm(push) => Some(push),
            Self::Apns(_) | Self::Grant(_) | Self::Identity(_) => None,
        }
    }
}

/// Device tokens are cut: the line goes to a terminal.
fn cut(token: &str) -> String {
    let head: String = token.chars().take(8).collect();
    format!("{head}...")
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.reason {
            None => write!(f, "{}", self.status),
            Some(reason) => write!(f, "{} {reason}", self.status),
        }
    }
}

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Apns(push) => write!(
                f,
                "APNs {} <- token {} topic {} type {} priority {} expiration {} payload {}",
                push.verdict,
                cut(&push.token),
                push.topic,
                push.push_type,
                push.priority,
                push.expiration,
                push.payload
            ),
            Self::Fcm(push) => {
                let mut body = push.body.clone();
                if let Some(token) = body.pointer_mut("/message/token") {
                    *token = cut(token.as_str().unwrap_or_default()).into();
                }
                write!(f, "FCM {} <- project {} {}", push.verdict, push.project, body)
            }
            Self::Grant(grant) => write!(f, "FCM {} <- access token for {}", grant.verdict, grant.issuer),
            Self::Identity(question) => write!(
                f,
                "identity cloud {} <- {} for client {} user {}",
                question.verdict,
                question.endpoint.name(),
                question.client.as_deref().unwrap_or("?"),
                question.user.as_deref().unwrap_or("-")
            ),
        }
    }
}

/// The record itself.
pub(crate) struct Log {
    kept: Mutex<VecDeque<Received>>,
    answered: watch::Sender<u64>,
    sink: Option<crate::Sink>,
}

impl Log {
    pub(crate) fn new(sink: Option<crate::Sink>) -> Self {
        Self { kept: Mutex::new(VecDeque::new()), answered: watch::Sender::new(0), sink }
    }
    pub(crate) fn add(&self, received: Received) {
        if let Some(sink) = &self.sink {
            sink(&received);
        }
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(received);
        }
        self.answered.send_modify(|count| *count += 1);
    }
    pub(crate) fn all(&self) -> Vec<Received> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
    pub(crate) fn answered(&self) -> u64 {
        *self.answered.borrow()
    }
    pub(crate) async fn wait(&self, count: u64) {
        let mut receiver = self.answered.subscribe();
        // The sender lives in self, so the wait cannot fail.
        drop(receiver.wait_for(|answered| *answered >= count).await);
    }
}
