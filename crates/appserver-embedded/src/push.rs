//! Push registrations of subscribers' apps.

use crate::db::{WriteTx, fault, json, unreadable};
use crate::settings::AllowedApplication;
use crate::{Shared, events};
use async_trait::async_trait;
use openadp_appserver::{Event, PortError, PortResult, PushRegistration, PushRegistrations, UserId};
use std::sync::Arc;

/// Most tokens of one registration; apps have two (VoIP and Normal).
const MAX_TOKENS: usize = 10;
/// Most events of one token.
const MAX_EVENTS: usize = 32;

const NO_USER: PortError = PortError::NotFound { what: "user" };

pub(crate) struct Registrations {
    pub(crate) shared: Arc<Shared>,
}

fn invalid(field: &'static str, reason: impl Into<String>) -> PortError {
    PortError::Invalid { field, reason: reason.into() }
}

/// Limits of nps.md section 3.
fn check(registration: &PushRegistration) -> PortResult<()> {
    let text = |field: &'static str, value: &str, min: usize, max: usize| {
        let length = value.chars().count();
        if length < min || length > max || value.chars().any(char::is_control) {
            return Err(invalid(field, format!("{min} to {max} characters without control characters")));
        }
        Ok(())
    };
    text("registrationId", &registration.registration_id, 1, 1_024)?;
    text("applicationId", &registration.application_id, 1, 2_048)?;
    text("applicationVersion", &registration.application_version, 0, 2_048)?;
    text("deviceOSVersion", &registration.device_os_version, 0, 2_048)?;
    text("deviceOSType", &registration.device_os_type, 1, 128)?;
    if registration.tokens.is_empty() || registration.tokens.len() > MAX_TOKENS {
        return Err(invalid("deviceTokenList", format!("1 to {MAX_TOKENS} tokens")));
    }
    for token in &registration.tokens {
        text("token", &token.token, 1, 2_048)?;
        if token.kind != "VoIP" && token.kind != "Normal" {
            return Err(invalid("type", "VoIP or Normal"));
        }
        if token.events.len() > MAX_EVENTS {
            return Err(invalid("pushNotificationEvents", format!("at most {MAX_EVENTS} events")));
        }
        token.events.iter().try_for_each(|event| text("event", event, 1, 128))?;
    }
    Ok(())
}

/// All registrations of a subscriber, oldest first.
pub(crate) async fn load(
    conn: &mut sqlx::SqliteConnection,
    user: &UserId,
) -> PortResult<Vec<PushRegistration>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT registration FROM push_registrations WHERE user_id = ? ORDER BY registered_at, registration_id",
    )
    .bind(user.as_str())
    .fetch_all(conn)
    .await
    .map_err(fault)?;
    rows.iter().map(|(text,)| serde_json::from_str(text).map_err(unreadable)).collect()
}

/// Drops one token, and the registration with its last one; only if it was not registered again after `invalid_since`.
pub(crate) async fn drop_token(
    tx: &mut WriteTx,
    user: &UserId,
    registration_id: &str,
    token: &str,
    invalid_since: Option<i64>,
) -> PortResult<()> {
    let row: Option<(i64, String)> = sqlx::query_as(
        "SELECT registered_at, registration FROM push_registrations WHERE user_id = ? AND registration_id = ?",
    )
    .bind(user.as_str())
    .bind(registration_id)
    .fetch_optional(tx.conn())
    .await
    .map_err(fault)?;
    let Some((registered_at, text)) = row else { return Ok(()) };
    if invalid_since.is_some_and(|since| registered_at > since) {
        return Ok(());
    }
    let mut registration: PushRegistration = serde_json::from_str(&text).map_err(unreadable)?;
    registration.tokens.retain(|known| known.token != token);
    let query = if registration.tokens.is_empty() {
        sqlx::query("DELETE FROM push_registrations WHERE user_id = ?1 AND registration_id = ?2")
            .bind(user.as_str())
            .bind(registration_id)
    } else {
        sqlx::query(
            "UPDATE push_registrations SET registration = ?3 WHERE user_id = ?1 AND registration_id = ?2",
        )
        .bind(user.as_str())
        .bind(registration_id)
        .bind(json(&registration)?)
    };
    query.execute(tx.conn()).await.map_err(fault)?;
    events::append(tx, user, &Event::PushRegistrations).await
}

#[async_trait]
impl PushRegistrations for Registrations {
    async fn registrations(&self, user: &UserId) -> PortResult<Vec<PushRegistration>> {
        let mut tx = self.shared.db.snapshot().await?;
        let found: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fault)?;
        found.ok_or(NO_USER)?;
        load(&mut tx, user).await
    }

    async fn put_registration(&self, user: &UserId, registration: &PushRegistration) -> PortResult<()> {
        check(registration)?;
        let rules = self.shared.push_rules.load();
        if rules.enforce_allowed_application_list {
            let allowed = self.shared.settings.rows::<AllowedApplication>();
            if !allowed.iter().any(|row| row.application_id == registration.application_id) {
                return Err(invalid("applicationId", "not among the allowed applications"));
            }
        }
        let mut tx = self.shared.db.begin().await?;
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM push_registrations r WHERE r.user_id = u.user_id AND registration_id <> ?) \
             FROM users u WHERE user_id = ?",
        )
        .bind(&registration.registration_id)
        .bind(user.as_str())
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
        let (others,) = row.ok_or(NO_USER)?;
        if others >= i64::from(rules.maximum_registrations_per_user) {
            return Err(PortError::LimitReached { what: "push registrations" });
        }
        let now = tx.now;
        sqlx::query(
            "INSERT INTO push_registrations VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
             registered_at = excluded.registered_at, registration = excluded.registration",
        )
        .bind(user.as_str())
        .bind(&registration.registration_id)
        .bind(now)
        .bind(json(registration)?)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        events::append(&mut tx, user, &Event::PushRegistrations).await?;
        tx.commit().await
    }

    async fn remove_registration(&self, user: &UserId, registration_id: &str) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let gone = sqlx::query("DELETE FROM push_registrations WHERE user_id = ? AND registration_id = ?")
            .bind(user.as_str())
            .bind(registration_id)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "push registration" });
        }
        events::append(&mut tx, user, &Event::PushRegistrations).await?;
        tx.commit().await
    }
}
