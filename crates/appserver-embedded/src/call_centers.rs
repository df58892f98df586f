//! Call centres and their agents: what the store has of them, and their provisioning. What happens to their calls is the
//! engine's.

use crate::calls::{board, load_user, store};
use crate::db::{count, fault, json, unreadable};
use crate::engine::{self, Center, Dialled, Half};
use crate::{Provisioning, Shared, events};
use async_trait::async_trait;
use openadp_appserver::{
    AcdState, Agent, AgentChange, AgentQueue, AgentStatus, CallCenterProfile, CallCenters, Event, PortError,
    PortResult, QueueEntry, UnavailableCode, UserId,
};
use sqlx::SqliteConnection;
use std::sync::Arc;

/// Most agents of a call centre that its profile names.
const MOST_AGENTS: i64 = 1_000;
/// Most unavailable codes of an enterprise.
const MOST_CODES: i64 = 1_000;

const NOT_A_CENTER: PortError = PortError::NotFound { what: "call center" };
const NO_AGENT: PortError = PortError::NotAssigned { service: "Call Center" };

pub(crate) struct Centers {
    pub(crate) shared: Arc<Shared>,
}

/// What an administrator sets about a call centre; a user becomes one.
#[derive(Debug, Clone)]
pub struct NewCallCenter {
    /// The user that becomes one: whoever calls it waits for an agent.
    pub user_id: UserId,
    /// Most callers who wait.
    pub queue_length: u32,
    /// Longest time that a caller waits, seconds.
    pub longest_wait: u32,
    /// Where callers go who find it full or waited too long; without it they are released.
    pub overflow_to: Option<String>,
    /// Rings at an agent who does not answer.
    pub number_of_rings: u32,
    /// Time for working up a call, seconds.
    pub wrap_up: u32,
}

/// The feed's last position.
async fn position(conn: &mut SqliteConnection) -> PortResult<u64> {
    let (position,): (i64,) =
        sqlx::query_as("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0)")
            .fetch_one(conn)
            .await
            .map_err(fault)?;
    Ok(count(position))
}

async fn agent(conn: &mut SqliteConnection, user: &UserId) -> PortResult<Agent> {
    let row: Option<(Option<String>,)> = sqlx::query_as(
        "SELECT s.status FROM users u LEFT JOIN agent_states s USING (user_id) WHERE u.user_id = ?",
    )
    .bind(user.as_str())
    .fetch_optional(&mut *conn)
    .await
    .map_err(fault)?;
    let (status,) = row.ok_or(PortError::NotFound { what: "user" })?;
    let status: AgentStatus = serde_json::from_str(&status.ok_or(NO_AGENT)?).map_err(unreadable)?;
    let rows: Vec<(String, bool, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT a.call_center, a.joined, u.number, u.extension FROM agents a JOIN users u ON u.user_id = a.call_center \
         WHERE a.user_id = ? ORDER BY a.call_center",
    )
    .bind(user.as_str())
    .fetch_all(conn)
    .await
    .map_err(fault)?;
    let queue = |(center, joined, number, extension): (String, bool, Option<String>, Option<String>)| {
        AgentQueue { call_center: UserId::new(&center), joined, number, extension }
    };
    Ok(Agent { status, queues: rows.into_iter().map(queue).collect() })
}

#[async_trait]
impl CallCenters for Centers {
    async fn agent(&self, user: &UserId) -> PortResult<(u64, Agent)> {
        let mut tx = self.shared.db.snapshot().await?;
        let found = agent(&mut tx, user).await?;
        Ok((position(&mut tx).await?, found))
    }

    async fn change_agent(&self, user: &UserId, change: &AgentChange) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let found = agent(tx.conn(), user).await?;
        if let Some(Some(code)) = &change.unavailable_code {
            let known: Option<(i64,)> = sqlx::query_as(
                "SELECT 1 FROM unavailable_codes c JOIN users u USING (provider) WHERE u.user_id = ? AND c.code = ?",
            )
            .bind(user.as_str())
            .bind(code)
            .fetch_optional(tx.conn())
            .await
            .map_err(fault)?;
            let unknown = || PortError::Invalid {
                field: "agentUnavailableCode",
                reason: "is no code of the enterprise".to_owned(),
            };
            known.ok_or_else(unknown)?;
        }
        for (center, joins) in &change.joins {
            let queue = found.queues.iter().find(|queue| queue.call_center == *center);
            let queue = queue.ok_or(PortError::Invalid {
                field: "serviceUserId",
                reason: "is no call center of the agent".to_owned(),
            })?;
            if queue.joined == *joins {
                continue;
            }
            sqlx::query("UPDATE agents SET joined = ? WHERE call_center = ? AND user_id = ?")
                .bind(*joins)
                .bind(center.as_str())
                .bind(user.as_str())
                .execute(tx.conn())
                .await
                .map_err(fault)?;
            let changed = AgentQueue { joined: *joins, ..queue.clone() };
            events::append(&mut tx, user, &Event::AgentJoin(changed)).await?;
        }
        let state = change.state.unwrap_or(found.status.state);
        let code = change.unavailable_code.clone().unwrap_or(found.status.unavailable_code);
        if state == AcdState::WrapUp && found.status.state != AcdState::WrapUp {
            return Err(PortError::WrongState { reason: "wrap-up follows a call".to_owned() });
        }
        let mut board = board(&self.shared, tx.now);
        load_user(tx.conn(), &mut board, user).await?;
        engine::change_state(&mut board, user, state, code);
        store(&mut tx, &self.shared, &board).await?;
        tx.commit().await
    }

    async fn queue(&self, call_center: &UserId) -> PortResult<(u64, Vec<QueueEntry>)> {
        let mut tx = self.shared.db.snapshot().await?;
        let mut board = board(&self.shared, self.shared.db.now());
        load_user(&mut tx, &mut board, call_center).await?;
        board.party(call_center).and_then(|party| party.center.as_ref()).ok_or(NOT_A_CENTER)?;
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT h.half FROM queue q JOIN halves h USING (half_id) WHERE q.call_center = ? ORDER BY q.added_at, q.half_id",
        )
        .bind(call_center.as_str())
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        let mut entries = Vec::new();
        for (text,) in rows {
            let half: Half = serde_json::from_str(&text).map_err(unreadable)?;
            let id = half.call.id.clone();
            load_user(&mut tx, &mut board, &half.owner).await?;
            entries.extend(engine::entry(&board, call_center, &id));
        }
        Ok((position(&mut tx).await?, entries))
    }

    async fn call_center(&self, call_center: &UserId) -> PortResult<CallCenterProfile> {
        type Row = (String, String, Option<String>, Option<String>);
        let mut tx = self.shared.db.snapshot().await?;
        let row: Option<Row> = sqlx::query_as(
            "SELECT u.first_name, u.last_name, u.number, u.extension FROM users u JOIN call_centers c USING (user_id) \
             WHERE u.user_id = ?",
        )
        .bind(call_center.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fault)?;
        let (first_name, last_name, number, extension) = row.ok_or(NOT_A_CENTER)?;
        let agents: Vec<(String,)> =
            sqlx::query_as("SELECT user_id FROM agents WHERE call_center = ? ORDER BY user_id LIMIT ?")
                .bind(call_center.as_str())
                .bind(MOST_AGENTS)
                .fetch_all(&mut *tx)
                .await
                .map_err(fault)?;
        let agents = agents.iter().map(|(agent,)| UserId::new(agent)).collect();
        let user_id = call_center.clone();
        Ok(CallCenterProfile { user_id, first_name, last_name, number, extension, agents })
    }

    async fn unavailable_codes(&self, provider: &str) -> PortResult<Vec<UnavailableCode>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT code, description FROM unavailable_codes WHERE provider = ? ORDER BY code LIMIT ?",
        )
        .bind(provider)
        .bind(MOST_CODES)
        .fetch_all(self.shared.db.read())
        .await
        .map_err(fault)?;
        Ok(rows.into_iter().map(|(code, description)| UnavailableCode { code, description }).collect())
    }
}

fn invalid(field: &'static str, reason: &str) -> PortError {
    PortError::Invalid { field, reason: reason.to_owned() }
}

impl Provisioning {
    /// Makes a user a call centre, or changes what is set about it.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown user.
    pub async fn put_call_center(&self, center: &NewCallCenter) -> PortResult<()> {
        if !(1..=525).contains(&center.queue_length) {
            return Err(invalid("queueLength", "1 to 525"));
        }
        if !(1..=7_200).contains(&center.longest_wait) {
            return Err(invalid("longestWait", "1 to 7200 seconds"));
        }
        if !(1..=20).contains(&center.number_of_rings) {
            return Err(invalid("numberOfRings", "1 to 20"));
        }
        if center.wrap_up > 3_600 {
            return Err(invalid("wrapUp", "at most 3600 seconds"));
        }
        if let Some(number) = &center.overflow_to {
            Dialled::parse(number).map_err(|reason| invalid("overflowTo", &reason))?;
        }
        let settings = Center {
            size: center.queue_length,
            wait: center.longest_wait,
            overflow_to: center.overflow_to.clone(),
            rings: center.number_of_rings,
            wrap_up: center.wrap_up,
        };
        let mut tx = self.shared().db.begin().await?;
        sqlx::query(
            "INSERT INTO call_centers (user_id, settings) VALUES (?, ?) ON CONFLICT DO UPDATE SET settings = excluded.settings",
        )
        .bind(center.user_id.as_str())
        .bind(json(&settings)?)
        .execute(tx.conn())
        .await
        .map_err(crate::provisioning::conflict("user"))?;
        tx.commit().await
    }

    /// Makes a call centre an ordinary user again; who waits there goes on as if it had waited too long.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_call_center(&self, center: &UserId) -> PortResult<()> {
        let mut tx = self.shared().db.begin().await?;
        let gone = sqlx::query("DELETE FROM call_centers WHERE user_id = ?")
            .bind(center.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(NOT_A_CENTER);
        }
        forget_agents(tx.conn()).await?;
        tx.commit().await
    }

    /// Makes a user an agent of a call centre of its enterprise, signed out at first and joined.
    ///
    /// # Errors
    /// `NotFound` for an unknown user or call centre, `Invalid` for one of another enterprise.
    pub async fn put_agent(&self, center: &UserId, user: &UserId) -> PortResult<()> {
        let mut tx = self.shared().db.begin().await?;
        let row: Option<(bool,)> = sqlx::query_as(
            "SELECT u.provider = c.provider FROM users u, users c JOIN call_centers cc ON cc.user_id = c.user_id \
             WHERE u.user_id = ? AND c.user_id = ?",
        )
        .bind(user.as_str())
        .bind(center.as_str())
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
        let (colleagues,) = row.ok_or(PortError::NotFound { what: "user or call center" })?;
        if !colleagues || user == center {
            return Err(invalid("userId", "an agent is another user of the call center's enterprise"));
        }
        sqlx::query("INSERT INTO agents VALUES (?, ?, 1) ON CONFLICT DO NOTHING")
            .bind(center.as_str())
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        let status = AgentStatus { since: tx.now, ..AgentStatus::default() };
        sqlx::query("INSERT INTO agent_states VALUES (?, ?, NULL) ON CONFLICT DO NOTHING")
            .bind(user.as_str())
            .bind(json(&status)?)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.commit().await
    }

    /// Takes an agent away from a call centre.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_agent(&self, center: &UserId, user: &UserId) -> PortResult<()> {
        let mut tx = self.shared().db.begin().await?;
        let gone = sqlx::query("DELETE FROM agents WHERE call_center = ? AND user_id = ?")
            .bind(center.as_str())
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "agent" });
        }
        forget_agents(tx.conn()).await?;
        tx.commit().await
    }

    /// Gives an enterprise a code for why an agent is unavailable; without a description the code goes.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown enterprise or code.
    pub async fn put_unavailable_code(
        &self,
        provider: &str,
        code: &str,
        description: Option<&str>,
    ) -> PortResult<()> {
        if code.is_empty() || code.len() > 10 || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(invalid("code", "1 to 10 letters and digits"));
        }
        if description.is_some_and(|text| text.chars().count() > 40 || text.chars().any(char::is_control)) {
            return Err(invalid("description", "at most 40 characters without control characters"));
        }
        let mut tx = self.shared().db.begin().await?;
        let query = match description {
            Some(text) => sqlx::query(
                "INSERT INTO unavailable_codes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET description = excluded.description",
            )
            .bind(provider.to_owned())
            .bind(code.to_owned())
            .bind(text.to_owned()),
            None => sqlx::query("DELETE FROM unavailable_codes WHERE provider = ? AND code = ?")
                .bind(provider.to_owned())
                .bind(code.to_owned()),
        };
        let done = query.execute(tx.conn()).await.map_err(crate::provisioning::conflict("enterprise"))?;
        if done.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "code" });
        }
        tx.commit().await
    }
}

/// Who is an agent of nothing any more is none.
async fn forget_agents(conn: &mut SqliteConnection) -> PortResult<()> {
    sqlx::query("DELETE FROM agent_states WHERE NOT EXISTS (SELECT 1 FROM agents a WHERE a.user_id = agent_states.user_id)")
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}
