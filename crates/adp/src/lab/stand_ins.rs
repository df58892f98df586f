//! The lab's stand-ins of APNs, FCM and the identity cloud, which print what they get.

use super::identity as cloud;
use super::plan::Plan;
use super::prepare::IOS_APP;
use super::secrets;
use super::seed::Seed;
use anyhow::{Context as _, Result};
use openadp_appserver::{Clock as _, SystemClock, epoch_millis};
use openadp_standins::{Environment, Received, TlsPair, UnknownTokens, Verdict, apns, fcm, identity};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long their connections may take to end.
const END: Duration = Duration::from_secs(2);

/// All stand-ins, running.
pub(crate) struct StandIns {
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl StandIns {
    /// Starts them.
    pub(crate) async fn start(plan: &Plan, seed: &Seed) -> Result<Self> {
        let folder = plan.certificates();
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let tls = TlsPair { certificates: read("server-p256.crt")?, key: read("server-p256.key")? };
        // Labs of earlier days have none of its own.
        let cloud_tls = match (read("identity.crt"), read("identity.key")) {
            (Ok(certificates), Ok(key)) => TlsPair { certificates, key },
            _ => tls.clone(),
        };
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let environment = |port: u16| Environment {
            bind: Plan::address(port),
            tls: if port == plan.ports.identity { cloud_tls.clone() } else { tls.clone() },
            clock: Arc::new(|| epoch_millis(SystemClock.now())),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            sink: Some(Arc::new(|received: &Received| announce(received))),
        };
        let others = secrets::p256().context("making a key")?;
        apns::start(
            environment(plan.ports.apns),
            apns::Config {
                apps: vec![IOS_APP.to_owned(), cloud::CLOUD_IOS_APP.to_owned()],
                keys: vec![
                    apns::AuthKey {
                        key_id: seed.apns.key_id.clone(),
                        team_id: seed.apns.team_id.clone(),
                        public_key: seed.apns.public_key.clone(),
                    },
                    apns::AuthKey {
                        key_id: cloud::CLOUD_KEY.0.to_owned(),
                        team_id: cloud::CLOUD_KEY.1.to_owned(),
                        public_key: others.public,
                    },
                ],
                tokens: Vec::new(),
                unknown_tokens: UnknownTokens::Accept,
            },
        )
        .await
        .context("starting the stand-in of APNs")?;
        let fcm = fcm::start(
            environment(plan.ports.fcm),
            fcm::Config {
                projects: vec![fcm::Project {
                    project_id: seed.fcm.project_id.clone(),
                    client_email: seed.fcm.client_email.clone(),
                    key_id: seed.fcm.key_id.clone(),
                    public_key: seed.fcm.public_key.clone(),
                }],
                tokens: Vec::new(),
                unknown_tokens: UnknownTokens::Accept,
            },
        )
        .await
        .context("starting the stand-in of FCM")?;
        let identity = identity::start(environment(plan.ports.identity), cloud::config())
            .await
            .context("starting the stand-in of the identity cloud")?;
        identity.give_push_tokens(cloud::push_tokens(others.private, fcm, seed.fcm.project_id.clone()));
        Ok(Self { tasks, shutdown })
    }

    /// Ends them.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(END, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections of the stand-ins did not end");
        }
    }
}

fn verdict(verdict: &Verdict) -> String {
    match &verdict.reason {
        Some(reason) => format!("{} {reason}", verdict.status),
        None => verdict.status.to_string(),
    }
}

fn announce(received: &Received) {
    let line = match received {
        Received::Apns(push) => format!(
            "APNs stand-in answered {}: {} push, topic {}, priority {}, expiration {}, payload {}",
            verdict(&push.verdict),
            push.push_type,
            push.topic,
            push.priority,
            push.expiration,
            push.payload
        ),
        Received::Fcm(push) => {
            // No more of a device token than tells devices apart: the line goes to a terminal.
            let mut message = push.body.clone();
            if let Some(token) = message.pointer_mut("/message/token") {
                let beginning: String = token.as_str().unwrap_or_default().chars().take(8).collect();
                *token = format!("{beginning}...").into();
            }
            format!(
                "FCM stand-in answered {}: project {}, message {message}",
                verdict(&push.verdict),
                push.project,
            )
        }
        Received::Grant(grant) => {
            format!("FCM stand-in answered {}: access token for {}", verdict(&grant.verdict), grant.issuer)
        }
        Received::Identity(question) => format!(
            "Identity cloud stand-in answered {}: {} for client {}, user {}",
            verdict(&question.verdict),
            question.endpoint.name(),
            question.client.as_deref().unwrap_or("unknown"),
            question.user.as_deref().unwrap_or("none")
        ),
    };
    // A reader that left does not stop the stand-in.
    drop(super::print(&format!("{line}\n")));
}
