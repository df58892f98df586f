//! What an operation touches, read from the store and put on a board.

use super::read_half;
use crate::db::{fault, unreadable};
use crate::engine::{AgentOf, Board, Candidate, Center, Dialled, Party, Route, RouteWish, Router};
use openadp_appserver::{AgentStatus, CallId, PortResult, Service, ServiceKind, UserId};
use sqlx::SqliteConnection;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Somebody all of whose services are as they are at first; the store has rows for others only.
static FIRST: LazyLock<Party> = LazyLock::new(|| {
    let mut party = Party::of(UserId::new(""));
    for kind in ServiceKind::ALL {
        party.apply(&Service::new(*kind));
    }
    party
});

type PartyRow = (
    String,
    String,
    bool,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    String,
    bool,
    Option<String>,
    Option<String>,
);

/// A subscriber with what the engine asks about.
async fn load_party(conn: &mut SqliteConnection, user: &UserId) -> PortResult<Option<Party>> {
    let row: Option<PartyRow> = sqlx::query_as(
        "SELECT u.provider, u.group_id, p.is_enterprise, u.first_name, u.last_name, u.number, u.extension, \
         u.country_code, u.line_port, u.off_hook, c.settings, a.status FROM users u JOIN providers p USING (provider) \
         LEFT JOIN call_centers c USING (user_id) LEFT JOIN agent_states a USING (user_id) WHERE u.user_id = ?",
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
        center,
        agent,
    )) = row
    else {
        return Ok(None);
    };
    let mut party = FIRST.clone();
    party.user_id = user.clone();
    party.provider = provider;
    party.group = group;
    party.is_enterprise = is_enterprise;
    party.name = format!("{first} {last}");
    party.number = number;
    party.extension = extension;
    party.country_code = country_code;
    party.line_port = line_port;
    party.off_hook = off_hook;
    party.center =
        center.map(|text| serde_json::from_str::<Center>(&text).map_err(unreadable)).transpose()?;
    let agent =
        agent.map(|text| serde_json::from_str::<AgentStatus>(&text).map_err(unreadable)).transpose()?;
    party.agent = agent.map(|status| AgentOf { status });
    let services: Vec<(String, String, bool)> =
        sqlx::query_as("SELECT kind, settings, taken FROM services WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_all(&mut *conn)
            .await
            .map_err(fault)?;
    for (name, text, taken) in services {
        let Some(kind) = crate::services::kind_of(&name) else { continue };
        if taken {
            party.lose(kind);
        } else {
            party.apply(&Service { kind, settings: serde_json::from_str(&text).map_err(unreadable)? });
        }
    }
    // No device where a call may end: nobody is disturbed.
    party.do_not_disturb |= !crate::devices::takes_calls(conn, user).await?;
    Ok(Some(party))
}

/// Puts a subscriber and its calls on the board; `false` when there is no such subscriber.
pub(crate) async fn load_user(
    conn: &mut SqliteConnection,
    board: &mut Board,
    user: &UserId,
) -> PortResult<bool> {
    if board.party(user).is_some() {
        return Ok(true);
    }
    let Some(party) = load_party(conn, user).await? else { return Ok(false) };
    if party.center.is_some() {
        let (waiting,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM queue WHERE call_center = ?")
            .bind(user.as_str())
            .fetch_one(&mut *conn)
            .await
            .map_err(fault)?;
        board.set_queue_length(user.clone(), u32::try_from(waiting).unwrap_or(u32::MAX));
    }
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
pub(super) async fn load_around(
    conn: &mut SqliteConnection,
    board: &mut Board,
    user: &UserId,
) -> PortResult<bool> {
    if !load_user(conn, board, user).await? {
        return Ok(false);
    }
    let mut known: BTreeSet<i64> = board.links().map(|(link, _)| link).collect();
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
                owners.extend(half.others().cloned());
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
pub(super) async fn find(
    conn: &mut SqliteConnection,
    plan: &Party,
    dialled: &Dialled,
) -> PortResult<Option<UserId>> {
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
pub(super) async fn resolve(
    conn: &mut SqliteConnection,
    board: &mut Board,
    wish: RouteWish,
) -> PortResult<Route> {
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
            Err(route) => return Ok(*route),
        }
    }
}

/// Puts on the board against whom a call is parked, of some users.
pub(super) async fn load_parked(
    conn: &mut SqliteConnection,
    board: &mut Board,
    user: &UserId,
) -> PortResult<Option<CallId>> {
    let row: Option<(String,)> = sqlx::query_as("SELECT half_id FROM parked WHERE user_id = ?")
        .bind(user.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    if row.is_some() {
        board.add_parked(user.clone());
    }
    Ok(row.map(|(half,)| CallId(half)))
}

/// Puts the owner of a half on the board, with everybody around; `None` when there is no such half any more.
pub(super) async fn load_half(
    conn: &mut SqliteConnection,
    board: &mut Board,
    half: &CallId,
) -> PortResult<Option<UserId>> {
    let row: Option<(String,)> =
        sqlx::query_as("SELECT user_id FROM halves WHERE half_id = ? AND released = 0")
            .bind(&half.0)
            .fetch_optional(&mut *conn)
            .await
            .map_err(fault)?;
    let Some((owner,)) = row else { return Ok(None) };
    let owner = UserId::new(&owner);
    load_around(conn, board, &owner).await?;
    Ok(Some(owner))
}
