//! Call control: loads what an operation touches, lets the engine decide, and stores what follows in one transaction.

use crate::db::{WriteTx, fault, int, json, unreadable};
use crate::engine::{
    self, Board, Candidate, Correlation, Dialled, Effect, Half, Limits, Party, Refusal, Route, RouteWish,
    Router,
};
use crate::{Shared, events, late, outbox};
use async_trait::async_trait;
use openadp_appserver::{
    Address, Call, CallAction, CallControl, CallId, CallLogEntry, CallLogKind, CallOverview, CallStart,
    CallState, DialOptions, Event, HookStatus, LogPage, PortError, PortResult, Redirect, Service, UserId,
};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest free text that a client may keep with a call.
const MAX_INFO_CHARACTERS: usize = 256;
/// Most log entries that one page gives.
const MAX_LOG_PAGE: usize = 1_000;

/// What a log entry is stored as, beside its kind and time.
#[derive(Serialize, Deserialize)]
struct StoredLog {
    number: Address,
    name: String,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect: Option<Redirect>,
}

pub(crate) struct Calls {
    pub(crate) shared: Arc<Shared>,
}

impl From<Refusal> for PortError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::NotFound { what: "call" },
            Refusal::WrongState(reason) => Self::WrongState { reason },
            Refusal::BadAddress(reason) => Self::Invalid { field: "address", reason },
            Refusal::LimitReached => Self::LimitReached { what: "calls" },
        }
    }
}

const NO_USER: PortError = PortError::NotFound { what: "user" };

/// A board without anybody on it, under the limits that hold now.
fn board(shared: &Shared, now: i64) -> Board {
    let settings = shared.call_engine.load();
    Board::new(
        now,
        Limits {
            calls_per_user: settings.maximum_calls_per_user as usize,
            redirections: settings.maximum_redirections,
            ring_ms: i64::from(settings.ring_length) * 1_000,
            no_answer_ms: i64::from(settings.no_answer_timeout) * 1_000,
        },
    )
}

fn read_half(text: &str) -> PortResult<Half> {
    serde_json::from_str(text).map_err(unreadable)
}

type PartyRow = (String, String, bool, String, String, Option<String>, Option<String>, String, String, bool);

/// A subscriber with what the engine asks about.
async fn load_party(conn: &mut SqliteConnection, user: &UserId) -> PortResult<Option<Party>> {
    let row: Option<PartyRow> = sqlx::query_as(
        "SELECT u.provider, u.group_id, p.is_enterprise, u.first_name, u.last_name, u.number, u.extension, \
         u.country_code, u.line_port, u.off_hook FROM users u JOIN providers p USING (provider) WHERE u.user_id = ?",
    )
    .bind(user.as_str())
    .fetch_optional(&mut *conn)
    .await
    .map_err(fault)?;
    let Some((
        provider,
        group,
        is_enterprise,
        first,
        last,
        number,
        extension,
        country_code,
        line_port,
        off_hook,
    )) = row
    else {
        return Ok(None);
    };
    let mut party = Party {
        user_id: user.clone(),
        provider,
        group,
        is_enterprise,
        name: format!("{first} {last}"),
        number,
        extension,
        country_code,
        line_port,
        off_hook,
        do_not_disturb: false,
        always: None,
        busy: None,
        no_answer: None,
        call_waiting: false,
        hides_itself: false,
        sees_hidden: false,
        refuses_hidden: false,
        speed_dials: BTreeMap::new(),
    };
    let services: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, settings FROM services WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_all(&mut *conn)
            .await
            .map_err(fault)?;
    for (name, text) in services {
        let Some(kind) = crate::services::kind_of(&name) else { continue };
        party.apply(&Service { kind, settings: serde_json::from_str(&text).map_err(unreadable)? });
    }
    // No device where a call may end: nobody is disturbed.
    party.do_not_disturb |= !crate::devices::takes_calls(conn, user).await?;
    Ok(Some(party))
}

/// Puts a subscriber and its calls on the board; `false` when there is no such subscriber.
async fn load_user(conn: &mut SqliteConnection, board: &mut Board, user: &UserId) -> PortResult<bool> {
    if board.party(user).is_some() {
        return Ok(true);
    }
    let Some(party) = load_party(conn, user).await? else { return Ok(false) };
    board.add_party(party);
    let rows: Vec<(String,)> = sqlx::query_as("SELECT half FROM halves WHERE user_id = ? AND released = 0")
        .bind(user.as_str())
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    for (text,) in rows {
        board.add_half(read_half(&text)?);
    }
    Ok(true)
}

/// Puts a subscriber on the board with everybody whom its calls are with, and whom their calls are with: all that an
/// action of this subscriber can change. `false` when there is no such subscriber.
async fn load_around(conn: &mut SqliteConnection, board: &mut Board, user: &UserId) -> PortResult<bool> {
    if !load_user(conn, board, user).await? {
        return Ok(false);
    }
    let mut known = BTreeSet::new();
    // Answering holds other calls of both sides, and their other sides are told: two rounds.
    for _ in 0..2 {
        let links: BTreeSet<i64> =
            board.all_halves().map(|half| half.link).filter(|link| !known.contains(link)).collect();
        let mut owners = BTreeSet::new();
        for link in links {
            known.insert(link);
            let (next,): (i64,) = sqlx::query_as("SELECT next_half FROM links WHERE link = ?")
                .bind(link)
                .fetch_one(&mut *conn)
                .await
                .map_err(fault)?;
            board.add_link(link, u32::try_from(next).unwrap_or(u32::MAX));
            let rows: Vec<(String,)> =
                sqlx::query_as("SELECT half FROM halves WHERE link = ? AND released = 0")
                    .bind(link)
                    .fetch_all(&mut *conn)
                    .await
                    .map_err(fault)?;
            for (text,) in rows {
                let half = read_half(&text)?;
                owners.insert(half.owner.clone());
                board.add_half(half);
            }
        }
        for owner in owners {
            load_user(conn, board, &owner).await?;
        }
    }
    Ok(true)
}

/// Who an address belongs to, in the dial plan of a party.
async fn find(conn: &mut SqliteConnection, plan: &Party, dialled: &Dialled) -> PortResult<Option<UserId>> {
    for candidate in dialled.candidates(&plan.country_code) {
        let query = match &candidate {
            Candidate::Extension(extension) => sqlx::query_as(
                // Another group's extension can be dialled within an enterprise; the own group's comes first.
                "SELECT user_id FROM users WHERE provider = ?1 AND extension = ?2 AND (group_id = ?3 OR ?4) \
                 ORDER BY group_id <> ?3, group_id LIMIT 1",
            )
            .bind(plan.provider.clone())
            .bind(extension.clone())
            .bind(plan.group.clone())
            .bind(plan.is_enterprise),
            Candidate::Number(number) => {
                sqlx::query_as("SELECT user_id FROM users WHERE number = ?").bind(number.clone())
            }
            Candidate::Identity(identity) => {
                sqlx::query_as("SELECT user_id FROM users WHERE user_id = ?1 OR line_port = ?1 LIMIT 1")
                    .bind(identity.clone())
            }
        };
        let found: Option<(String,)> = query.fetch_optional(&mut *conn).await.map_err(fault)?;
        if let Some((user,)) = found {
            return Ok(Some(UserId::new(&user)));
        }
    }
    Ok(None)
}

/// Resolves a way, putting everybody on it on the board.
async fn resolve(conn: &mut SqliteConnection, board: &mut Board, wish: RouteWish) -> PortResult<Route> {
    let mut router = Router::new(wish);
    loop {
        let (plan, dialled) = router.lookup();
        let found = match board.party(plan) {
            Some(plan) => find(conn, plan, dialled).await?,
            None => None,
        };
        if let Some(user) = &found {
            load_user(conn, board, user).await?;
        }
        match router.found(board, found.as_ref()) {
            Ok(further) => router = further,
            Err(route) => return Ok(route),
        }
    }
}

/// Where a call of a subscriber to an address would be led now; nothing is changed.
pub(crate) async fn route(shared: &Shared, user: &UserId, address: &str) -> PortResult<Route> {
    let mut tx = shared.db.snapshot().await?;
    let mut board = board(shared, shared.db.now());
    if !load_around(&mut tx, &mut board, user).await? {
        return Err(NO_USER);
    }
    let wish = engine::first_wish(&board, user, address)?;
    resolve(&mut tx, &mut board, wish).await
}

/// Stores what changed on a board, and everything that follows from it.
async fn store(tx: &mut WriteTx, shared: &Shared, board: &Board) -> PortResult<()> {
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
        match effect {
            Effect::Ring { half, after_ms } => {
                let Some(half) = board.half(half) else { continue };
                sqlx::query(
                    "INSERT INTO timers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET due_at = excluded.due_at",
                )
                .bind(&half.call.id.0)
                .bind(half.owner.as_str())
                .bind(board.now.saturating_add(*after_ms))
                .execute(tx.conn())
                .await
                .map_err(fault)?;
                // A half that rang and was refused within this very operation wakes nobody.
                if half.ringing {
                    let called = board.party(&half.owner);
                    outbox::new_call(tx, shared, half, called).await?;
                }
            }
            Effect::RingOver { half, end } => {
                sqlx::query("DELETE FROM timers WHERE half_id = ?")
                    .bind(&half.0)
                    .execute(tx.conn())
                    .await
                    .map_err(fault)?;
                if let Some(half) = board.half(half) {
                    outbox::call_ended(tx, shared, half, *end).await?;
                }
            }
        }
    }
    Ok(())
}

fn kind_name(kind: CallLogKind) -> &'static str {
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

/// Acts on the next timer that is due, if any; `true` when there was one.
///
/// The row is deleted in the transaction of what follows from it, so exactly one of the node's processes acts on it, and
/// a process that dies in the middle leaves it to another.
pub(crate) async fn run_due_timer(shared: &Shared) -> PortResult<bool> {
    let mut tx = shared.db.begin().await?;
    let due: Option<(String, String)> = sqlx::query_as(
        "DELETE FROM timers WHERE half_id = (SELECT half_id FROM timers WHERE due_at <= ? ORDER BY due_at LIMIT 1) \
         RETURNING half_id, user_id",
    )
    .bind(tx.now)
    .fetch_optional(tx.conn())
    .await
    .map_err(fault)?;
    let Some((half, user)) = due else { return Ok(false) };
    let (call, user) = (CallId(half), UserId::new(&user));
    let mut board = board(shared, tx.now);
    if load_around(tx.conn(), &mut board, &user).await?
        && let Ok(wish) = engine::wish(&board, &user, &call, &CallAction::Release)
    {
        let route = match wish {
            Some(wish) => Some(resolve(tx.conn(), &mut board, wish).await?),
            None => None,
        };
        engine::no_answer(&mut board, &call, route.as_ref());
        store(&mut tx, shared, &board).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Ends all calls of a subscriber, as part of a larger change.
pub(crate) async fn release_all(tx: &mut WriteTx, shared: &Shared, user: &UserId) -> PortResult<()> {
    let mut board = board(shared, tx.now);
    if load_around(tx.conn(), &mut board, user).await? {
        engine::release_all(&mut board, user);
        store(tx, shared, &board).await?;
    }
    Ok(())
}

async fn user_exists(conn: &mut SqliteConnection, user: &UserId) -> PortResult<()> {
    let found: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
        .bind(user.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    found.map(|_| ()).ok_or(NO_USER)
}

#[async_trait]
impl CallControl for Calls {
    async fn dial(&self, user: &UserId, address: &str, options: &DialOptions) -> PortResult<CallStart> {
        let shared = &self.shared;
        let info = options.info.as_ref().map(|text| text.chars().take(MAX_INFO_CHARACTERS).collect());
        let mut tx = shared.overload.turn(&shared.db).await?;
        let mut board = board(shared, tx.now);
        if !load_around(tx.conn(), &mut board, user).await? {
            return Err(NO_USER);
        }
        let signalling = shared.signalling.load();
        board.correlation = options.correlation_id.as_ref().map(|id| Correlation {
            id: id.chars().filter(|c| !c.is_control()).take(MAX_INFO_CHARACTERS).collect(),
            access: signalling.correlation_access,
            network: signalling.correlation_network,
        });
        let wish = engine::first_wish(&board, user, address)?;
        let route = resolve(tx.conn(), &mut board, wish).await?;
        let (link,): (i64,) = sqlx::query_as("INSERT INTO links (next_half) VALUES (0) RETURNING link")
            .fetch_one(tx.conn())
            .await
            .map_err(fault)?;
        let start = engine::dial(&mut board, user, link, info, &route)?;
        store(&mut tx, shared, &board).await?;
        tx.commit().await?;
        metrics::counter!("appserver_calls_started_total").increment(1);
        Ok(start)
    }

    async fn overview(&self, user: &UserId) -> PortResult<CallOverview> {
        let mut tx = self.shared.db.snapshot().await?;
        let row: Option<(i64, bool)> = sqlx::query_as(
            "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0), off_hook FROM users \
             WHERE user_id = ?",
        )
        .bind(user.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fault)?;
        let (position, off_hook) = row.ok_or(NO_USER)?;
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT half FROM halves WHERE user_id = ? AND released = 0")
                .bind(user.as_str())
                .fetch_all(&mut *tx)
                .await
                .map_err(fault)?;
        let calls = rows.iter().map(|(text,)| read_half(text).map(|half| half.call));
        let mut calls = calls.collect::<PortResult<Vec<Call>>>()?;
        calls.sort_by(|a, b| (a.start_time, &a.id).cmp(&(b.start_time, &b.id)));
        let hook_status = if off_hook { HookStatus::OffHook } else { HookStatus::OnHook };
        Ok(CallOverview { position: crate::db::count(position), calls, hook_status })
    }

    async fn call(&self, user: &UserId, call: &CallId) -> PortResult<Call> {
        let mut tx = self.shared.db.snapshot().await?;
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT half FROM halves WHERE half_id = ? AND user_id = ? AND (purge_at IS NULL OR purge_at > ?)",
        )
        .bind(&call.0)
        .bind(user.as_str())
        .bind(self.shared.db.now())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fault)?;
        if let Some((text,)) = row {
            return Ok(read_half(&text)?.call);
        }
        user_exists(&mut tx, user).await?;
        Err(PortError::NotFound { what: "call" })
    }

    async fn act(&self, user: &UserId, call: &CallId, action: &CallAction) -> PortResult<()> {
        let shared = &self.shared;
        let mut tx = shared.db.begin().await?;
        let (board, before) = acted(&mut tx, shared, user, call, action).await?;
        match late::due(&board, before, &shared.signalling.load(), call, action) {
            Some((due_at, name)) => late::put_off(&mut tx, user, call, due_at, name).await?,
            None => store(&mut tx, shared, &board).await?,
        }
        tx.commit().await
    }

    async fn call_log(
        &self,
        user: &UserId,
        kind: CallLogKind,
        start: usize,
        results: usize,
    ) -> PortResult<LogPage> {
        let mut tx = self.shared.db.snapshot().await?;
        user_exists(&mut tx, user).await?;
        let (total,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM call_logs WHERE user_id = ? AND kind = ?")
                .bind(user.as_str())
                .bind(kind_name(kind))
                .fetch_one(&mut *tx)
                .await
                .map_err(fault)?;
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT time, log FROM call_logs WHERE user_id = ? AND kind = ? ORDER BY time DESC, entry DESC LIMIT ? OFFSET ?",
        )
        .bind(user.as_str())
        .bind(kind_name(kind))
        .bind(int(results.min(MAX_LOG_PAGE)))
        .bind(int(start.saturating_sub(1)))
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        let entries = rows.into_iter().map(|(time, text)| {
            let log: StoredLog = serde_json::from_str(&text).map_err(unreadable)?;
            let StoredLog { number, name, id, redirect } = log;
            Ok(CallLogEntry { kind, number, name, time, call_log_id: id, redirect })
        });
        let entries = entries.collect::<PortResult<_>>()?;
        Ok(LogPage { entries, total: usize::try_from(total).unwrap_or_default() })
    }

    async fn clear_call_logs(&self, user: &UserId) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        user_exists(tx.conn(), user).await?;
        sqlx::query("DELETE FROM call_logs WHERE user_id = ?")
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.commit().await
    }
}

/// The board after an action, nothing of which is stored yet, and when the call was held or retrieved before.
async fn acted(
    tx: &mut WriteTx,
    shared: &Shared,
    user: &UserId,
    call: &CallId,
    action: &CallAction,
) -> PortResult<(Board, Option<i64>)> {
    let mut board = board(shared, tx.now);
    if !load_around(tx.conn(), &mut board, user).await? {
        return Err(NO_USER);
    }
    for id in [Some(call), other_of(action)].into_iter().flatten() {
        load_released(tx.conn(), &mut board, user, id).await?;
    }
    let before = board.half(call).and_then(|half| half.changed_at);
    let route = match engine::wish(&board, user, call, action)? {
        Some(wish) => Some(resolve(tx.conn(), &mut board, wish).await?),
        None => None,
    };
    engine::act(&mut board, user, call, action, route.as_ref())?;
    Ok((board, before))
}

/// Does what was put off until now; what is not possible any more is forgotten.
pub(crate) async fn do_late(
    tx: &mut WriteTx,
    shared: &Shared,
    user: &UserId,
    call: &CallId,
    action: &CallAction,
) -> PortResult<()> {
    match acted(tx, shared, user, call, action).await {
        Ok((board, _)) => store(tx, shared, &board).await,
        Err(PortError::NotFound { .. } | PortError::WrongState { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The second call of an action on two.
fn other_of(action: &CallAction) -> Option<&CallId> {
    match action {
        CallAction::ConsultTransfer { other } => Some(other),
        CallAction::BlindTransfer { .. }
        | CallAction::Decline
        | CallAction::Hold
        | CallAction::Reconnect
        | CallAction::Release
        | CallAction::Talk => None,
    }
}

/// Puts a released half that is still remembered on the board, so that it is refused as released and not as unknown.
async fn load_released(
    conn: &mut SqliteConnection,
    board: &mut Board,
    user: &UserId,
    call: &CallId,
) -> PortResult<()> {
    if board.half(call).is_some() {
        return Ok(());
    }
    let row: Option<(String,)> =
        sqlx::query_as("SELECT half FROM halves WHERE half_id = ? AND user_id = ? AND released = 1")
            .bind(&call.0)
            .bind(user.as_str())
            .fetch_optional(conn)
            .await
            .map_err(fault)?;
    if let Some((text,)) = row {
        board.add_half(read_half(&text)?);
    }
    Ok(())
}
