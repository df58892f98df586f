//! The ordered event feed.

use crate::Shared;
use crate::db::{FEED, count, fault, int, unreadable};
use async_trait::async_trait;
use openadp_appserver::{EventFeed, FeedEvent, PortError, PortResult, UserId};
use std::sync::Arc;
use tokio::sync::watch;

/// Most events of one read.
const MAX_READ: usize = 1_000;
/// Name of the position up to which events were discarded.
pub(crate) const FLOOR: &str = "feed_floor";

pub(crate) struct Feed {
    pub(crate) shared: Arc<Shared>,
}

type Row = (i64, i64, String, String, String, i64, Option<String>, String);

#[async_trait]
impl EventFeed for Feed {
    async fn position(&self) -> PortResult<u64> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT seq FROM sqlite_sequence WHERE name = 'feed'")
            .fetch_optional(self.shared.db.read())
            .await
            .map_err(fault)?;
        Ok(row.map_or(0, |(position,)| count(position)))
    }

    async fn read(&self, after: u64, limit: usize) -> PortResult<Vec<Arc<FeedEvent>>> {
        let mut tx = self.shared.db.snapshot().await?;
        let floor: Option<(String,)> = sqlx::query_as("SELECT value FROM facts WHERE name = ?")
            .bind(FLOOR)
            .fetch_optional(&mut *tx)
            .await
            .map_err(fault)?;
        let floor: u64 = floor.and_then(|(text,)| text.parse().ok()).unwrap_or_default();
        if after < floor {
            return Err(PortError::NotFound { what: "event" });
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT position, sequence, subscriber, provider, group_id, time, request_id, event FROM feed \
             WHERE position > ? ORDER BY position LIMIT ?",
        )
        .bind(int(after))
        .bind(int(limit.min(MAX_READ)))
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        rows.into_iter()
            .map(|(position, sequence, subscriber, provider, group, time, request_id, event)| {
                Ok(Arc::new(FeedEvent {
                    position: count(position),
                    sequence: count(sequence),
                    subscriber: UserId::new(&subscriber),
                    provider,
                    group,
                    time,
                    request_id,
                    event: serde_json::from_str(&event).map_err(unreadable)?,
                }))
            })
            .collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.db.wake().subscribe(FEED)
    }
}
