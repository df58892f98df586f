//! Call control: loads what an operation touches, lets the engine decide, and stores what follows in one transaction.

mod load;
mod store;

use crate::db::{WriteTx, fault, int, unreadable};
use crate::engine::{self, Board, Correlation, Dialled, End, Half, Limits, Refusal, Route, RouteWish};
use crate::{Shared, late};
use async_trait::async_trait;
pub(crate) use load::load_user;
use load::{load_around, load_half, load_parked, resolve};
use openadp_appserver::{
    Address, Call, CallAction, CallControl, CallId, CallLogEntry, CallLogKind, CallOverview, CallStart,
    Conference, ConferenceAction, DialOptions, HookStatus, LogPage, PickUp, PortError, PortResult, Redirect,
    Redirection, RemoteParty, UserId,
};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use std::sync::Arc;
pub(crate) use store::store;
use store::{kind_name, pickup_group};

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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redirections: Vec<Redirection>,
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
            Refusal::BadLocation(reason) => Self::Invalid { field: "locationAddress", reason },
            Refusal::NotAssigned(kind) => Self::NotAssigned { service: kind.display_name() },
            Refusal::LimitReached => Self::LimitReached { what: "calls" },
        }
    }
}

/// What the timer of an agent begins with; no half's id does.
const AGENT: &str = "agent:";
const NO_USER: PortError = PortError::NotFound { what: "user" };

/// A board without anybody on it, under the limits that hold now.
pub(crate) fn board(shared: &Shared, now: i64) -> Board {
    let settings = shared.call_engine.load();
    Board::new(
        now,
        Limits {
            calls_per_user: settings.maximum_calls_per_user as usize,
            redirections: settings.maximum_redirections,
            ring_ms: i64::from(settings.ring_length) * 1_000,
            no_answer_ms: i64::from(settings.no_answer_timeout) * 1_000,
            park_ms: i64::from(settings.park_recall) * 1_000,
        },
    )
}

fn read_half(text: &str) -> PortResult<Half> {
    serde_json::from_str(text).map_err(unreadable)
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
    if load_around(tx.conn(), &mut board, &user).await? {
        for other in engine::due_needs(&board, &call) {
            load_user(tx.conn(), &mut board, &other).await?;
        }
        if call.0.starts_with(AGENT) {
            engine::wrap_up_over(&mut board, &user);
        } else if let Some((center, overdue)) = engine::waits_in(&board, &call) {
            serve(&mut tx, &mut board, &call, &center, overdue).await?;
        } else {
            let route = match engine::due_wish(&board, &call) {
                Some(wish) => Some(resolve(tx.conn(), &mut board, wish).await?),
                None => None,
            };
            engine::due(&mut board, &call, route.as_ref());
        }
        store(&mut tx, shared, &board).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Most agents that are looked at for one call; others are on the telephone for themselves.
const MOST_AGENTS: i64 = 32;

/// Somebody waits in a queue: the agent who is free for longest gets the one who waits for longest.
async fn serve(
    tx: &mut WriteTx,
    board: &mut Board,
    call: &CallId,
    center: &UserId,
    overdue: bool,
) -> PortResult<()> {
    if overdue {
        let route = match engine::overflow_wish(board, call) {
            Some(wish) => Some(resolve(tx.conn(), board, wish).await?),
            None => None,
        };
        engine::overflow(board, call, route.as_ref());
        return Ok(());
    }
    let first: Option<(String,)> = sqlx::query_as(
        "SELECT half_id FROM queue WHERE call_center = ? AND offered = 0 ORDER BY added_at, half_id LIMIT 1",
    )
    .bind(center.as_str())
    .fetch_optional(tx.conn())
    .await
    .map_err(fault)?;
    let mut free = None;
    if first.is_some_and(|(first,)| first == call.0) {
        let agents: Vec<(String,)> = sqlx::query_as(
            "SELECT s.user_id FROM agents a JOIN agent_states s USING (user_id) WHERE a.call_center = ? AND a.joined AND \
             s.free_since IS NOT NULL ORDER BY s.free_since, s.user_id LIMIT ?",
        )
        .bind(center.as_str())
        .bind(MOST_AGENTS)
        .fetch_all(tx.conn())
        .await
        .map_err(fault)?;
        let caller = board.half(call).map(|half| half.owner.clone());
        for (agent,) in agents {
            let agent = UserId::new(&agent);
            load_user(tx.conn(), board, &agent).await?;
            if caller.as_ref() != Some(&agent) && engine::is_free(board, &agent) {
                free = Some(agent);
                break;
            }
        }
    }
    engine::serve(board, call, free.as_ref());
    Ok(())
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
        let plan = engine::places_to_dial(&board, user, options)?;
        let wish = engine::first_wish(&board, user, address)?;
        let route = resolve(tx.conn(), &mut board, wish).await?;
        let mut spots = Vec::new();
        for wanted in plan.iter().flat_map(|plan| &plan.wanted) {
            let Ok(dialled) = Dialled::parse(&wanted.number) else { continue };
            let wish = RouteWish::find(user, dialled.clone());
            if let End::Ring(at) = resolve(tx.conn(), &mut board, wish).await?.end
                && at != *user
            {
                spots.push(engine::Spot::of(wanted, dialled.address(), at));
            }
        }
        let (link,): (i64,) = sqlx::query_as("INSERT INTO links (next_half) VALUES (0) RETURNING link")
            .fetch_one(tx.conn())
            .await
            .map_err(fault)?;
        let start = match plan {
            Some(plan) => {
                engine::dial_from(&mut board, user, link, info, address, &route, (&spots, plan.away))?
            }
            None => engine::dial(&mut board, user, link, info, &route)?,
        };
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
        let halves = rows.iter().map(|(text,)| read_half(text)).collect::<PortResult<Vec<Half>>>()?;
        let conference = engine::conference_of(halves.iter());
        let mut calls: Vec<Call> = halves.into_iter().map(|half| half.call).collect();
        calls.sort_by(|a, b| (a.start_time, &a.id).cmp(&(b.start_time, &b.id)));
        let hook_status = if off_hook { HookStatus::OffHook } else { HookStatus::OnHook };
        Ok(CallOverview { position: crate::db::count(position), calls, hook_status, conference })
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

    async fn act(&self, user: &UserId, call: &CallId, action: &CallAction) -> PortResult<Option<Address>> {
        let shared = &self.shared;
        let mut tx = shared.db.begin().await?;
        let Acted { board, before, parked } = acted(&mut tx, shared, user, call, action).await?;
        match late::due(&board, before, &shared.signalling.load(), call, action) {
            Some((due_at, name)) => late::put_off(&mut tx, user, call, due_at, name).await?,
            None => store(&mut tx, shared, &board).await?,
        }
        tx.commit().await?;
        Ok(parked)
    }

    async fn pick_up(&self, user: &UserId, what: &PickUp) -> PortResult<CallStart> {
        let shared = &self.shared;
        let mut tx = shared.overload.turn(&shared.db).await?;
        let mut board = board(shared, tx.now);
        if !load_around(tx.conn(), &mut board, user).await? {
            return Err(NO_USER);
        }
        let nothing = PortError::NotFound { what: "call" };
        let start = match what {
            PickUp::Parked { address } => {
                let against = called(&mut tx, &mut board, user, address).await?;
                let parked = load_parked(tx.conn(), &mut board, &against).await?.ok_or(nothing)?;
                load_half(tx.conn(), &mut board, &parked).await?;
                engine::retrieve_parked(&mut board, user, &parked)?
            }
            PickUp::Group | PickUp::Directed { .. } => {
                let of = match what {
                    PickUp::Directed { address } => Some(called(&mut tx, &mut board, user, address).await?),
                    _ => None,
                };
                let ringing = ringing(&mut tx, &board, user, of.as_ref()).await?.ok_or(nothing)?;
                load_half(tx.conn(), &mut board, &ringing).await?;
                engine::pick_up(&mut board, user, &ringing)?
            }
        };
        store(&mut tx, shared, &board).await?;
        tx.commit().await?;
        Ok(start)
    }

    async fn parked(&self, user: &UserId) -> PortResult<(u64, Option<RemoteParty>)> {
        let mut tx = self.shared.db.snapshot().await?;
        let row: Option<(i64, Option<String>)> = sqlx::query_as(
            "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0), p.half_id FROM users u \
             LEFT JOIN parked p USING (user_id) WHERE u.user_id = ?",
        )
        .bind(user.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fault)?;
        let (position, half) = row.ok_or(NO_USER)?;
        let position = crate::db::count(position);
        let Some(half) = half.map(CallId) else { return Ok((position, None)) };
        let mut board = board(&self.shared, self.shared.db.now());
        load_half(&mut tx, &mut board, &half).await?;
        load_user(&mut tx, &mut board, user).await?;
        Ok((position, board.other_end(user, &half)))
    }

    async fn conference(&self, user: &UserId) -> PortResult<Conference> {
        self.overview(user).await?.conference.ok_or(PortError::NotFound { what: "conference" })
    }

    async fn confer(&self, user: &UserId, action: &ConferenceAction) -> PortResult<()> {
        let shared = &self.shared;
        let mut tx = shared.db.begin().await?;
        let mut board = board(shared, tx.now);
        if !load_around(tx.conn(), &mut board, user).await? {
            return Err(NO_USER);
        }
        engine::confer(&mut board, user, action)?;
        store(&mut tx, shared, &board).await?;
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
            let StoredLog { number, name, id, redirections, redirect } = log;
            Ok(CallLogEntry { kind, number, name, time, call_log_id: id, redirections, redirect })
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

/// Who an address belongs to that a user types.
async fn called(tx: &mut WriteTx, board: &mut Board, user: &UserId, address: &str) -> PortResult<UserId> {
    let dialled = Dialled::parse(address).map_err(Refusal::BadAddress)?;
    match resolve(tx.conn(), board, RouteWish::find(user, dialled)).await?.end {
        End::Ring(found) => Ok(found),
        _ => Err(Refusal::BadAddress("no such number".to_owned()).into()),
    }
}

/// The call that rings longest in the group of a user, or at somebody of it.
async fn ringing(
    tx: &mut WriteTx,
    board: &Board,
    user: &UserId,
    of: Option<&UserId>,
) -> PortResult<Option<CallId>> {
    let Some(party) = board.party(user) else { return Ok(None) };
    let group = pickup_group(&party.provider, &party.group)?;
    let query = match of {
        Some(of) => sqlx::query_as(
            "SELECT half_id FROM timers WHERE user_id = ? AND pickup = ? ORDER BY due_at LIMIT 1",
        )
        .bind(of.to_string())
        .bind(group),
        None => sqlx::query_as(
            "SELECT half_id FROM timers WHERE pickup = ? AND user_id <> ? ORDER BY due_at LIMIT 1",
        )
        .bind(group)
        .bind(user.to_string()),
    };
    let row: Option<(String,)> = query.fetch_optional(tx.conn()).await.map_err(fault)?;
    Ok(row.map(|(half,)| CallId(half)))
}

/// What an action made of a board.
struct Acted {
    /// Nothing of it is stored yet.
    board: Board,
    /// When the call was held or retrieved before.
    before: Option<i64>,
    /// Where the call was parked.
    parked: Option<Address>,
}

async fn acted(
    tx: &mut WriteTx,
    shared: &Shared,
    user: &UserId,
    call: &CallId,
    action: &CallAction,
) -> PortResult<Acted> {
    let mut board = board(shared, tx.now);
    if !load_around(tx.conn(), &mut board, user).await? {
        return Err(NO_USER);
    }
    for id in [Some(call), other_of(action)].into_iter().flatten() {
        load_released(tx.conn(), &mut board, user, id).await?;
    }
    let before = board.half(call).and_then(|half| half.changed_at);
    let wish = match action {
        CallAction::GroupPark => free_to_park(tx, &board, user).await?,
        _ => engine::wish(&board, user, call, action)?,
    };
    let route = match wish {
        Some(wish) => Some(resolve(tx.conn(), &mut board, wish).await?),
        None => None,
    };
    if let CallAction::Park { .. } = action {
        let against = route.as_ref().map_or(Some(user), |route| route.called.as_ref()).cloned();
        if let Some(against) = against {
            load_parked(tx.conn(), &mut board, &against).await?;
        }
    }
    let parked = engine::act(&mut board, user, call, action, route.as_ref())?;
    Ok(Acted { board, before, parked })
}

/// Somebody of a user's group against whom nothing is parked, in the order of extensions.
async fn free_to_park(tx: &mut WriteTx, board: &Board, user: &UserId) -> PortResult<Option<RouteWish>> {
    let Some(party) = board.party(user) else { return Ok(None) };
    let row: Option<(String,)> = sqlx::query_as(
        "SELECT u.user_id FROM users u LEFT JOIN parked p USING (user_id) WHERE u.provider = ? AND u.group_id = ? \
         AND u.extension IS NOT NULL AND p.user_id IS NULL ORDER BY u.extension LIMIT 1",
    )
    .bind(&party.provider)
    .bind(&party.group)
    .fetch_optional(tx.conn())
    .await
    .map_err(fault)?;
    let full = || PortError::LimitReached { what: "parked calls" };
    let (found,) = row.ok_or_else(full)?;
    Ok(Some(RouteWish::find(user, Dialled::Sip(found))))
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
        Ok(Acted { board, .. }) => store(tx, shared, &board).await,
        Err(PortError::NotFound { .. } | PortError::WrongState { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The second call of an action on two.
fn other_of(action: &CallAction) -> Option<&CallId> {
    match action {
        CallAction::ConsultTransfer { other } => Some(other),
        _ => None,
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
