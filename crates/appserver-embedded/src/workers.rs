//! What runs by itself: no-answer timers and housekeeping.

use crate::db::{FEED, SUBSCRIPTIONS, fault};
use crate::settings::{EventRetention, PushNotification};
use crate::{Shared, calls, events, feed, subscriptions};
use openadp_appserver::PortResult;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest sleep, in case the clock jumps.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// Pause after a fault of the store.
const AFTER_FAULT: Duration = Duration::from_secs(1);
/// How often old rows are removed.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);
/// How long a subscription stays after its time, for the process that tells its owner.
const SUBSCRIPTION_GRACE_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Acts on every timer that is due; gives the time of the next.
pub(crate) async fn run_due_timers(shared: &Shared) -> PortResult<Option<i64>> {
    loop {
        let (next,): (Option<i64>,) = sqlx::query_as("SELECT MIN(due_at) FROM timers")
            .fetch_one(shared.db.read())
            .await
            .map_err(fault)?;
        match next {
            Some(due) if due <= shared.db.now() => {
                calls::run_due_timer(shared).await?;
            }
            next => return Ok(next),
        }
    }
}

/// Acts on timers until shutdown. Every process of the node does; whoever is first takes the row.
pub(crate) async fn timers(shared: Arc<Shared>, shutdown: CancellationToken) {
    // New timers come with call events, so the feed's topic tells of them too.
    let mut changes = shared.db.wake().subscribe(FEED);
    loop {
        changes.borrow_and_update();
        let sleep = match run_due_timers(&shared).await {
            Ok(None) => MAX_SLEEP,
            Ok(Some(due)) => {
                let wait = u64::try_from(due.saturating_sub(shared.db.now())).unwrap_or_default();
                Duration::from_millis(wait.max(1)).min(MAX_SLEEP)
            }
            Err(error) => {
                tracing::warn!(%error, "timers could not be run");
                AFTER_FAULT
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(sleep) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Removes what is too old. Safe to run in several processes at once.
pub(crate) async fn housekeep(shared: &Shared) -> PortResult<()> {
    let retention: EventRetention = shared.settings.get();
    let push: PushNotification = shared.settings.get();
    let mut tx = shared.db.begin().await?;
    let now = tx.now;
    let too_old = now.saturating_sub(i64::from(retention.retention) * 1_000);
    let (floor,): (Option<i64>,) = sqlx::query_as(
        "SELECT MAX(COALESCE((SELECT MAX(position) FROM feed WHERE time < ?1), 0), \
         COALESCE((SELECT MAX(position) FROM feed), 0) - ?2)",
    )
    .bind(too_old)
    .bind(i64::from(retention.maximum_events))
    .fetch_one(tx.conn())
    .await
    .map_err(fault)?;
    if let Some(floor) = floor.filter(|floor| *floor > 0) {
        let gone = sqlx::query("DELETE FROM feed WHERE position <= ?")
            .bind(floor)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() > 0 {
            events::put_fact(&mut tx, feed::FLOOR, &floor.to_string()).await?;
        }
    }
    let statements = [
        ("DELETE FROM halves WHERE purge_at <= ?", now),
        ("DELETE FROM outbox WHERE expires_at <= ?", now.saturating_sub(60_000)),
        (
            "DELETE FROM push_registrations WHERE registered_at <= ?",
            now.saturating_sub(i64::from(push.maximum_registration_age_days) * DAY_MS),
        ),
    ];
    for (statement, time) in statements {
        sqlx::query(statement).bind(time).execute(tx.conn()).await.map_err(fault)?;
    }
    let expired = sqlx::query("DELETE FROM subscriptions WHERE expires_at <= ?")
        .bind(now.saturating_sub(SUBSCRIPTION_GRACE_MS))
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    if expired.rows_affected() > 0 {
        tx.touch(SUBSCRIPTIONS);
    }
    sqlx::query("DELETE FROM links WHERE link NOT IN (SELECT link FROM halves)")
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    subscriptions::forget_dead(&mut tx).await?;
    tx.commit().await
}

/// Keeps house until shutdown: again and again, and when what may stay changes.
pub(crate) async fn housekeeping(shared: Arc<Shared>, shutdown: CancellationToken) {
    let limits = || {
        let retention: EventRetention = shared.settings.get();
        let push: PushNotification = shared.settings.get();
        (retention.retention, retention.maximum_events, push.maximum_registration_age_days)
    };
    let mut changes = shared.settings.watch();
    let mut known = limits();
    let mut due = Instant::now() + HOUSEKEEPING_EVERY;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                if limits() == known {
                    continue;
                }
            }
        }
        known = limits();
        if let Err(error) = housekeep(&shared).await {
            tracing::warn!(%error, "housekeeping failed");
        }
        due = Instant::now() + HOUSEKEEPING_EVERY;
    }
}
