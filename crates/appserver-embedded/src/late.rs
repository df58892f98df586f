//! Holding and retrieving a call again right after the last time: it may be set to wait, since telephones get such changes
//! across each other. `Interface/SIP` says how long.

use crate::db::{FEED, WriteTx, fault};
use crate::engine::Board;
use crate::tree::Sip;
use crate::{Shared, calls};
use openadp_appserver::{CallAction, CallId, PortResult, UserId};

/// The name in the store of an action that may have to wait.
fn name_of(action: &CallAction) -> Option<&'static str> {
    match action {
        CallAction::Hold => Some("hold"),
        CallAction::Reconnect => Some("reconnect"),
        CallAction::Talk => Some("talk"),
        _ => None,
    }
}

/// When an action is to be done that comes too early, and its name; `board` is the one after it, `before` the
/// time of the last such change.
pub(crate) fn due(
    board: &Board,
    before: Option<i64>,
    settings: &Sip,
    call: &CallId,
    action: &CallAction,
) -> Option<(i64, &'static str)> {
    if !settings.delay_quick_reinvite {
        return None;
    }
    let name = name_of(action)?;
    // Answering a call changes nothing that was agreed before.
    board.half(call).filter(|half| half.changed_at == Some(board.now))?;
    let due_at = before?.saturating_add(i64::from(settings.delay_millis));
    (due_at > board.now).then_some((due_at, name))
}

/// Notes an action for later.
pub(crate) async fn put_off(
    tx: &mut WriteTx,
    user: &UserId,
    call: &CallId,
    due_at: i64,
    name: &'static str,
) -> PortResult<()> {
    sqlx::query(
        "INSERT INTO late_actions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET due_at = excluded.due_at, \
         action = excluded.action",
    )
    .bind(&call.0)
    .bind(user.as_str())
    .bind(due_at)
    .bind(name)
    .execute(tx.conn())
    .await
    .map_err(fault)?;
    // The timers' workers wait for this topic.
    tx.touch(FEED);
    Ok(())
}

/// Does the next action whose time has come, if any. As with timers, exactly one process does it.
pub(crate) async fn run_due(shared: &Shared) -> PortResult<()> {
    let mut tx = shared.db.begin().await?;
    let due: Option<(String, String, String)> = sqlx::query_as(
        "DELETE FROM late_actions WHERE half_id = \
         (SELECT half_id FROM late_actions WHERE due_at <= ? ORDER BY due_at LIMIT 1) \
         RETURNING half_id, user_id, action",
    )
    .bind(tx.now)
    .fetch_optional(tx.conn())
    .await
    .map_err(fault)?;
    let Some((half, user, name)) = due else { return Ok(()) };
    let known = [CallAction::Hold, CallAction::Reconnect, CallAction::Talk];
    if let Some(action) = known.into_iter().find(|action| name_of(action) == Some(name.as_str())) {
        calls::do_late(&mut tx, shared, &UserId::new(&user), &CallId(half), &action).await?;
    }
    tx.commit().await
}
