//! The push outbox: a notification is written in the transaction of the call's change, and delivered afterwards by
//! whichever process has a way out. Its wire format is nps.md section 4.
//!
//! A row is claimed with a lease; a process that dies while it delivers leaves the row to another, and the push server
//! knows the repetition by its idempotency key.

use crate::db::{FEED, WriteTx, fault};
use crate::engine::{Half, Party, RingEnd};
use crate::{PushSender, Shared, push};
use openadp_appserver::{DeviceToken, PortResult, PushRegistration, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The event that wakes phones; tokens that want it are told of the end of the call too.
const NEW_CALL: &str = "NEW_CALL";
const CALL_ENDED: &str = "CALL_ENDED";
/// Deliveries of one process at a time: the push server answers in well under a second.
const MAX_IN_FLIGHT: usize = 16;
/// How long a claimed row is left alone; longer than a sender may take (see `PushSender`).
const LEASE_MS: i64 = 15_000;
/// Pauses between attempts (nps.md section 10).
const PAUSES_MS: [i64; 4] = [200, 500, 1_200, 2_500];
/// Longest sleep of the worker, in case a clock jumps.
const MAX_SLEEP: Duration = Duration::from_secs(30);

fn rfc3339(millis: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn targets(registration: &PushRegistration, silent: bool) -> Vec<Value> {
    let wants = |token: &&DeviceToken| token.events.iter().any(|event| event.eq_ignore_ascii_case(NEW_CALL));
    let target = |token: &DeviceToken| {
        json!({
            "registrationId": registration.registration_id,
            "applicationId": registration.application_id,
            "clientVersion": registration.application_version,
            "deviceOsType": registration.device_os_type,
            "token": token.token,
            "tokenType": token.kind,
            "silent": silent,
            "mutableContent": false,
            "params": {"ios": {}, "android": {}, "appData": {}},
            "encryption": null,
        })
    };
    registration.tokens.iter().filter(wants).map(target).collect()
}

/// Writes the notifications of a call that begins to ring.
pub(crate) async fn new_call(
    tx: &mut WriteTx,
    shared: &Shared,
    half: &Half,
    called: Option<&Party>,
) -> PortResult<()> {
    if shared.push_server.load().url.is_none() {
        return Ok(());
    }
    let remote = &half.call.remote;
    let number = remote.user_dn.as_ref().unwrap_or(&remote.address);
    let caller = if remote.private {
        json!({"name": null, "number": null, "presentation": "restricted"})
    } else {
        json!({"name": remote.name, "number": number.value, "presentation": "allowed"})
    };
    let silent = called.is_some_and(|party| party.silent);
    let called = json!({
        "number": called.and_then(|party| party.number.clone().or_else(|| party.extension.clone())),
        "linePort": half.call.address_of_record,
    });
    for registration in push::load(tx.conn(), &half.owner).await? {
        let details = json!({"caller": caller, "called": called, "media": ["audio"]});
        insert(tx, shared, half, &registration, (NEW_CALL, 1, silent), details).await?;
    }
    Ok(())
}

/// Takes back what was not sent, and tells the others that the call no longer rings.
pub(crate) async fn call_ended(
    tx: &mut WriteTx,
    shared: &Shared,
    half: &Half,
    end: RingEnd,
) -> PortResult<()> {
    let now = tx.now;
    let unsent: Vec<(String, i64)> = sqlx::query_as(
        "DELETE FROM outbox WHERE user_id = ? AND call_id = ? AND seq = 1 AND lease_until <= ? \
         RETURNING registration_id, attempts",
    )
    .bind(half.owner.as_str())
    .bind(&half.call.id.0)
    .bind(now)
    .fetch_all(tx.conn())
    .await
    .map_err(fault)?;
    if shared.push_server.load().url.is_none() {
        return Ok(());
    }
    let reason = match end {
        RingEnd::Answered => "answered_elsewhere",
        RingEnd::Cancelled => "cancelled",
        RingEnd::Rejected => "rejected",
        RingEnd::Missed => "missed",
    };
    for registration in push::load(tx.conn(), &half.owner).await? {
        // Nobody was woken by what was never tried.
        if unsent.iter().any(|(id, attempts)| *id == registration.registration_id && *attempts == 0) {
            continue;
        }
        insert(tx, shared, half, &registration, (CALL_ENDED, 2, false), json!({"reason": reason})).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut WriteTx,
    shared: &Shared,
    half: &Half,
    registration: &PushRegistration,
    (event, seq, silent): (&str, i64, bool),
    details: Value,
) -> PortResult<()> {
    let targets = targets(registration, silent);
    if targets.is_empty() {
        return Ok(());
    }
    let now = tx.now;
    let expires_at = now.saturating_add(i64::from(shared.push_rules.load().new_call_timeout) * 1_000);
    let notification_id = uuid::Uuid::new_v4().to_string();
    let mut body = json!({
        "notificationId": notification_id,
        "event": event,
        "seq": seq,
        "callId": half.call.id.0,
        "userId": half.owner.as_str(),
        "createdAt": rfc3339(now),
        "expiresAt": rfc3339(expires_at),
        "targets": targets,
    });
    if let (Value::Object(body), Value::Object(details)) = (&mut body, details) {
        body.extend(details);
    }
    sqlx::query(
        "INSERT INTO outbox (notification_id, user_id, registration_id, call_id, seq, body, expires_at, next_attempt_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(notification_id)
    .bind(half.owner.as_str())
    .bind(&registration.registration_id)
    .bind(&half.call.id.0)
    .bind(seq)
    .bind(body.to_string())
    .bind(expires_at)
    .bind(now)
    .execute(tx.conn())
    .await
    .map_err(fault)?;
    tx.touch(FEED);
    Ok(())
}

/// A claimed notification.
#[derive(Clone)]
struct Claimed {
    id: i64,
    notification_id: String,
    user: UserId,
    body: String,
    attempts: i64,
}

/// What to do with a notification after an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Over, well or badly.
    Done,
    /// To be tried again.
    Again,
}

/// The answer of the push server, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<ResultOf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultOf {
    #[serde(default)]
    registration_id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    invalid_since: Option<String>,
}

/// A token that the push server found dead.
#[derive(Debug, PartialEq, Eq)]
struct DeadToken {
    registration_id: String,
    token: String,
    since: Option<i64>,
}

/// Reads an answer: whether to try again, and which tokens are dead. Results stand in the order of the targets.
fn judge(status: u16, answer: &[u8], body: &str) -> (Outcome, Vec<DeadToken>) {
    match status {
        200 => {}
        202 => return (Outcome::Done, Vec::new()),
        401 | 403 | 429 | 500..=599 => return (Outcome::Again, Vec::new()),
        _ => {
            tracing::warn!(status, "the push server refused a notification");
            return (Outcome::Done, Vec::new());
        }
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(answer) else {
        tracing::warn!("the push server's answer is not understood");
        return (Outcome::Done, Vec::new());
    };
    let sent: Value = serde_json::from_str(body).unwrap_or_default();
    let mut dead = Vec::new();
    let mut again = false;
    for (index, result) in answer.results.iter().enumerate() {
        match result.status.as_str() {
            "tokenInvalid" => {
                let target = |name: &str| sent["targets"][index][name].as_str().map(str::to_owned);
                let token = result.token.clone().or_else(|| target("token"));
                let since = result.invalid_since.as_deref().and_then(|text| {
                    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
                    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
                });
                if let Some(token) = token {
                    dead.push(DeadToken { registration_id: result.registration_id.clone(), token, since });
                }
            }
            "throttled" | "unavailable" => again = true,
            "sent" | "duplicate" | "expired" => {}
            // A VoIP token takes nothing but the start of a call: its app learns of the end by SIP (nps.md section 10).
            other if sent["event"] == CALL_ENDED => {
                tracing::debug!(status = other, "no push for the end of a call");
            }
            other => tracing::warn!(status = other, "a push was not sent"),
        }
    }
    (if again { Outcome::Again } else { Outcome::Done }, dead)
}

/// When the next notification is due, milliseconds since 1970.
async fn next_due(shared: &Shared) -> PortResult<Option<i64>> {
    let (due,): (Option<i64>,) = sqlx::query_as("SELECT MIN(MAX(next_attempt_at, lease_until)) FROM outbox")
        .fetch_one(shared.db.read())
        .await
        .map_err(fault)?;
    Ok(due)
}

/// Claims notifications that are due, dropping those whose time is over. Of one call and registration, the older first.
async fn claim(shared: &Shared, most: usize) -> PortResult<Vec<Claimed>> {
    let mut tx = shared.db.begin().await?;
    let now = tx.now;
    let expired = sqlx::query("DELETE FROM outbox WHERE expires_at <= ?1 AND lease_until <= ?1")
        .bind(now)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    metrics::counter!("appserver_push_notifications_total", "result" => "expired")
        .increment(expired.rows_affected());
    let rows: Vec<(i64, String, String, String, i64)> = sqlx::query_as(
        "UPDATE outbox SET lease_until = ?1 + ?2, attempts = attempts + 1 WHERE id IN (SELECT id FROM outbox o \
         WHERE next_attempt_at <= ?1 AND lease_until <= ?1 AND NOT EXISTS (SELECT 1 FROM outbox e WHERE \
         e.registration_id = o.registration_id AND e.call_id = o.call_id AND e.user_id = o.user_id AND e.seq < o.seq) \
         ORDER BY expires_at, id LIMIT ?3) RETURNING id, notification_id, user_id, body, attempts",
    )
    .bind(now)
    .bind(LEASE_MS)
    .bind(crate::db::int(most))
    .fetch_all(tx.conn())
    .await
    .map_err(fault)?;
    tx.commit().await?;
    let claimed = |(id, notification_id, user, body, attempts): (i64, String, String, String, i64)| Claimed {
        id,
        notification_id,
        user: UserId::new(&user),
        body,
        attempts,
    };
    Ok(rows.into_iter().map(claimed).collect())
}

/// One attempt, and what follows from it.
async fn deliver(shared: &Shared, sender: &dyn PushSender, claimed: &Claimed) -> PortResult<()> {
    let server = shared.push_server.load();
    let (outcome, dead) = match &server.url {
        None => (Outcome::Done, Vec::new()),
        Some(base) => {
            let url = format!("{}/v1/notifications", base.trim_end_matches('/'));
            let body = claimed.body.clone().into_bytes();
            match sender.send(&url, &server.shared_secret, &claimed.notification_id, body).await {
                Ok((status, answer)) => judge(status, &answer, &claimed.body),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, source, "notification not delivered");
                    (Outcome::Again, Vec::new())
                }
            }
        }
    };
    let mut tx = shared.db.begin().await?;
    match outcome {
        Outcome::Done => {
            sqlx::query("DELETE FROM outbox WHERE id = ?")
                .bind(claimed.id)
                .execute(tx.conn())
                .await
                .map_err(fault)?;
            metrics::counter!("appserver_push_notifications_total", "result" => "done").increment(1);
        }
        Outcome::Again => {
            let tried = usize::try_from(claimed.attempts.saturating_sub(1)).unwrap_or_default();
            let pause = PAUSES_MS.get(tried).or(PAUSES_MS.last()).copied().unwrap_or_default();
            let next = tx.now.saturating_add(pause);
            sqlx::query("UPDATE outbox SET lease_until = 0, next_attempt_at = ? WHERE id = ?")
                .bind(next)
                .bind(claimed.id)
                .execute(tx.conn())
                .await
                .map_err(fault)?;
            metrics::counter!("appserver_push_notifications_total", "result" => "again").increment(1);
        }
    }
    for token in dead {
        push::drop_token(&mut tx, &claimed.user, &token.registration_id, &token.token, token.since).await?;
    }
    tx.commit().await
}

/// Delivers notifications until shutdown.
pub(crate) async fn run(shared: Arc<Shared>, sender: Arc<dyn PushSender>, shutdown: CancellationToken) {
    let mut changes = shared.db.wake().subscribe(FEED);
    let mut in_flight = JoinSet::new();
    loop {
        changes.borrow_and_update();
        let mut sleep = MAX_SLEEP;
        let free = MAX_IN_FLIGHT.saturating_sub(in_flight.len());
        match next_due(&shared).await {
            Ok(Some(due)) if due <= shared.db.now() && free > 0 => match claim(&shared, free).await {
                Ok(claimed) => {
                    // Nothing was free to be claimed: an older notification of the same call is under way.
                    sleep = if claimed.is_empty() { Duration::from_millis(100) } else { Duration::ZERO };
                    for claimed in claimed {
                        let (shared, sender) = (shared.clone(), sender.clone());
                        in_flight.spawn(async move {
                            if let Err(error) = deliver(&shared, &*sender, &claimed).await {
                                tracing::warn!(%error, "the result of a push was not stored; its lease runs out");
                            }
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "notifications could not be claimed");
                    sleep = Duration::from_secs(1);
                }
            },
            Ok(Some(due)) if due > shared.db.now() => {
                let wait = u64::try_from(due.saturating_sub(shared.db.now())).unwrap_or_default();
                sleep = sleep.min(Duration::from_millis(wait.max(1)));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "notifications could not be read");
                sleep = Duration::from_secs(1);
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = in_flight.join_next() => {}
            () = tokio::time::sleep(sleep) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"targets":[{"token":"t1"},{"token":"t2"}]}"#;

    #[test]
    fn answers_are_judged_by_status_and_result() {
        for status in [401, 403, 429, 500, 503] {
            assert_eq!(judge(status, b"", BODY).0, Outcome::Again, "{status}");
        }
        for status in [202, 301, 400, 413] {
            assert_eq!(judge(status, b"", BODY).0, Outcome::Done, "{status}");
        }
        assert_eq!(judge(200, b"not json", BODY), (Outcome::Done, Vec::new()));
        let answer = br#"{"results":[{"registrationId":"r","status":"sent"},{"registrationId":"r","status":"tokenInvalid",
            "invalidSince":"1970-01-01T00:00:01Z"}]}"#;
        let dead = DeadToken { registration_id: "r".into(), token: "t2".into(), since: Some(1_000) };
        assert_eq!(judge(200, answer, BODY), (Outcome::Done, vec![dead]));
        assert_eq!(judge(200, br#"{"results":[{"status":"throttled"}]}"#, BODY).0, Outcome::Again);
    }
}
