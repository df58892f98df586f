//! What changed on a board, and everything that follows from it, written in one transaction.

use super::{AGENT, StoredLog};
use crate::db::{FEED, WriteTx, fault, json};
use crate::engine::{Board, Effect, Half};
use crate::{Shared, events, messages, outbox};
use openadp_appserver::{
    CallLogEntry, CallLogKind, CallPersonality, CallState, Event, HookStatus, PortResult, UserId,
};

/// Stores what changed on a board, and everything that follows from it.
pub(crate) async fn store(tx: &mut WriteTx, shared: &Shared, board: &Board) -> PortResult<()> {
    let settings = shared.call_engine.load();
    for (link, next) in board.links() {
        sqlx::query("UPDATE links SET next_half = ?1 WHERE link = ?2 AND next_half <> ?1")
            .bind(i64::from(next))
            .bind(link)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
    }
    for half in board.changed() {
        let released = half.call.state == CallState::Released;
        let purge_at =
            released.then(|| board.now.saturating_add(i64::from(settings.released_call_retention) * 1_000));
        sqlx::query(
            "INSERT INTO halves VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET link = excluded.link, \
             released = excluded.released, purge_at = excluded.purge_at, half = excluded.half",
        )
        .bind(&half.call.id.0)
        .bind(half.link)
        .bind(half.owner.as_str())
        .bind(released)
        .bind(purge_at)
        .bind(json(half)?)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    }
    for (user, event) in &board.events {
        if let Event::Hook(status) = event {
            sqlx::query("UPDATE users SET off_hook = ? WHERE user_id = ?")
                .bind(*status == HookStatus::OffHook)
                .bind(user.as_str())
                .execute(tx.conn())
                .await
                .map_err(fault)?;
        }
        if let Some(party) = board.party(user) {
            events::append_for(tx, user, &party.provider, &party.group, event).await?;
        }
    }
    for (user, entry) in &board.logs {
        store_log(tx, user, entry, settings.maximum_call_log_entries).await?;
    }
    for effect in &board.effects {
        follow(tx, shared, board, effect).await?;
    }
    Ok(())
}

/// Does what an effect says.
async fn follow(tx: &mut WriteTx, shared: &Shared, board: &Board, effect: &Effect) -> PortResult<()> {
    let query = match effect {
        Effect::Arm { half, after_ms } => {
            let Some(half) = board.half(half) else { return Ok(()) };
            let pickup = board.party(&half.owner).filter(|_| half.ringing && half.peer.is_some());
            let pickup = pickup.map(|party| pickup_group(&party.provider, &party.group)).transpose()?;
            tx.touch(FEED);
            sqlx::query(
                "INSERT INTO timers (half_id, user_id, due_at, pickup) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
                 due_at = excluded.due_at, pickup = excluded.pickup",
            )
            .bind(half.call.id.0.clone())
            .bind(half.owner.to_string())
            .bind(board.now.saturating_add(*after_ms))
            .bind(pickup)
        }
        Effect::Disarm { half } => sqlx::query("DELETE FROM timers WHERE half_id = ?").bind(half.0.clone()),
        Effect::Ring { half } => {
            // A half that rang and was refused within this very operation wakes nobody.
            if let Some(half) = board.half(half).filter(|half| half.ringing && wakes(board, half)) {
                outbox::new_call(tx, shared, half, board.party(&half.owner)).await?;
            }
            return Ok(());
        }
        Effect::RingOver { half, end } => {
            if let Some(half) = board.half(half).filter(|half| wakes(board, half)) {
                outbox::call_ended(tx, shared, half, *end).await?;
            }
            return Ok(());
        }
        Effect::Message { mailbox, from, duration_ms } => {
            return messages::of_call(tx, shared, board, mailbox, from, *duration_ms).await;
        }
        Effect::Parked { against, half } => sqlx::query(
            "INSERT INTO parked VALUES (?, ?) ON CONFLICT DO UPDATE SET half_id = excluded.half_id",
        )
        .bind(against.to_string())
        .bind(half.0.clone()),
        Effect::Enqueue { center, half } => sqlx::query("INSERT INTO queue VALUES (?, ?, ?, 0)")
            .bind(half.0.clone())
            .bind(center.to_string())
            .bind(board.now),
        Effect::Dequeue { center, half } => {
            sqlx::query("DELETE FROM queue WHERE half_id = ?")
                .bind(&half.0)
                .execute(tx.conn())
                .await
                .map_err(fault)?;
            hurry(center, board.now)
        }
        Effect::Offered { center, half, offered } => {
            sqlx::query("UPDATE queue SET offered = ? WHERE half_id = ?")
                .bind(*offered)
                .bind(&half.0)
                .execute(tx.conn())
                .await
                .map_err(fault)?;
            if !offered {
                return Ok(());
            }
            hurry(center, board.now)
        }
        Effect::Agent { agent, status, free } => {
            sqlx::query("UPDATE agent_states SET status = ?, free_since = ? WHERE user_id = ?")
                .bind(json(status)?)
                .bind(*free)
                .bind(agent.to_string())
        }
        Effect::AgentFree { agent, since } => {
            sqlx::query("UPDATE agent_states SET free_since = ? WHERE user_id = ?")
                .bind(*since)
                .bind(agent.to_string())
        }
        Effect::ArmAgent { agent, after_ms } => sqlx::query(
            "INSERT INTO timers (half_id, user_id, due_at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET due_at = excluded.due_at",
        )
        .bind(agent_timer(agent))
        .bind(agent.to_string())
        .bind(board.now.saturating_add(*after_ms)),
        Effect::DisarmAgent { agent } => {
            sqlx::query("DELETE FROM timers WHERE half_id = ?").bind(agent_timer(agent))
        }
        Effect::Unparked { against } => {
            sqlx::query("DELETE FROM parked WHERE user_id = ?").bind(against.to_string())
        }
    };
    query.execute(tx.conn()).await.map_err(fault)?;
    Ok(())
}

/// The first who still waits in a queue looks for an agent at once.
fn hurry(
    center: &UserId,
    now: i64,
) -> sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(
        "UPDATE timers SET due_at = MIN(due_at, ?2) WHERE half_id = (SELECT half_id FROM queue WHERE call_center = ?1 AND \
         offered = 0 ORDER BY added_at, half_id LIMIT 1)",
    )
    .bind(center.to_string())
    .bind(now)
}

/// The timer of an agent, in the place of a half's id.
pub(super) fn agent_timer(agent: &UserId) -> String {
    format!("{AGENT}{agent}")
}

/// Whether apps are woken for a half that rings: not for a call that the user makes, unless that is wished.
fn wakes(board: &Board, half: &Half) -> bool {
    half.call.personality == CallPersonality::Terminator
        || board.party(&half.owner).is_some_and(|party| party.wakes_for_own_calls)
}

/// Who may take a call of another: the same group.
pub(super) fn pickup_group(provider: &str, group: &str) -> PortResult<String> {
    json(&[provider, group])
}

pub(super) fn kind_name(kind: CallLogKind) -> &'static str {
    match kind {
        CallLogKind::Placed => "placed",
        CallLogKind::Received => "received",
        CallLogKind::Missed => "missed",
    }
}

async fn store_log(tx: &mut WriteTx, user: &UserId, entry: &CallLogEntry, most: u32) -> PortResult<()> {
    let log = StoredLog {
        number: entry.number.clone(),
        name: entry.name.clone(),
        id: entry.call_log_id.clone(),
        redirections: entry.redirections.clone(),
        redirect: entry.redirect.clone(),
    };
    sqlx::query("INSERT INTO call_logs (user_id, kind, time, log) VALUES (?, ?, ?, ?)")
        .bind(user.as_str())
        .bind(kind_name(entry.kind))
        .bind(entry.time)
        .bind(json(&log)?)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    sqlx::query(
        "DELETE FROM call_logs WHERE entry IN (SELECT entry FROM call_logs WHERE user_id = ? AND kind = ? \
         ORDER BY time DESC, entry DESC LIMIT -1 OFFSET ?)",
    )
    .bind(user.as_str())
    .bind(kind_name(entry.kind))
    .bind(i64::from(most))
    .execute(tx.conn())
    .await
    .map_err(fault)?;
    Ok(())
}
