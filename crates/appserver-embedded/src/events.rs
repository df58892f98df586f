//! Writing events: the number among the subscriber's own and the place in the feed come with the state change itself.

use crate::db::{FEED, WriteTx, fault, json};
use openadp_appserver::{Event, PortResult, UserId, request_id};

/// Longest request id that is kept; longer ones are cut, they are only for finding log lines.
const MAX_REQUEST_ID: usize = 128;

/// Appends an event of a subscriber or administrator to the feed, in the transaction of the change it tells of.
pub(crate) async fn append(tx: &mut WriteTx, subscriber: &UserId, event: &Event) -> PortResult<()> {
    let place: Option<(String, String)> =
        sqlx::query_as("SELECT provider, group_id FROM users WHERE user_id = ?")
            .bind(subscriber.as_str())
            .fetch_optional(tx.conn())
            .await
            .map_err(fault)?;
    let (provider, group) = place.unwrap_or_default();
    append_for(tx, subscriber, &provider, &group, event).await
}

/// The same, for a subscriber whose provider and group are known.
pub(crate) async fn append_for(
    tx: &mut WriteTx,
    subscriber: &UserId,
    provider: &str,
    group: &str,
    event: &Event,
) -> PortResult<()> {
    let (sequence,): (i64,) = sqlx::query_as(
        "INSERT INTO sequences VALUES (?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
    )
    .bind(subscriber.as_str())
    .fetch_one(tx.conn())
    .await
    .map_err(fault)?;
    let request_id = request_id::current().map(|id| id.chars().take(MAX_REQUEST_ID).collect::<String>());
    let now = tx.now;
    sqlx::query(
        "INSERT INTO feed (sequence, subscriber, provider, group_id, time, request_id, event) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(sequence)
    .bind(subscriber.as_str())
    .bind(provider)
    .bind(group)
    .bind(now)
    .bind(&request_id)
    .bind(json(event)?)
    .execute(tx.conn())
    .await
    .map_err(fault)?;
    tracing::debug!(request_id, subscriber = %subscriber, sequence, "event stored");
    metrics::counter!("appserver_events_total").increment(1);
    tx.touch(FEED);
    Ok(())
}

/// Sets a single value of the whole server.
pub(crate) async fn put_fact(tx: &mut WriteTx, name: &str, value: &str) -> PortResult<()> {
    sqlx::query("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value")
        .bind(name)
        .bind(value)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    Ok(())
}
