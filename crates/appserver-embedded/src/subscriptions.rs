//! Channels and subscriptions: shared by all processes of the node, surviving each of them.

use crate::Shared;
use crate::db::{SUBSCRIPTIONS, WriteTx, count, fault, int, json, unreadable};
use async_trait::async_trait;
use openadp_appserver::{ChannelRecord, EventSubscriptions, PortError, PortResult, SubscriptionRecord};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the channels of a process that never said it lives are kept.
const FIRST_LEASE_MS: i64 = 60_000;

pub(crate) struct Subscriptions {
    pub(crate) shared: Arc<Shared>,
}

type ChannelRow = (String, String, String, Option<String>, i64, i64, Option<i64>, String);
type SubscriptionRow =
    (String, String, String, String, String, String, Option<i64>, i64, String, Option<String>);

fn channel(row: ChannelRow) -> PortResult<ChannelRecord> {
    let (channel_id, channel_set_id, owner, application_id, priority, weight, expires_at, process) = row;
    Ok(ChannelRecord {
        channel_id,
        channel_set_id,
        owner: serde_json::from_str(&owner).map_err(unreadable)?,
        application_id,
        priority: u32::try_from(priority).unwrap_or(u32::MAX),
        weight: u32::try_from(weight).unwrap_or(u32::MAX),
        expires_at,
        process,
    })
}

fn subscription(row: SubscriptionRow) -> PortResult<SubscriptionRecord> {
    let (
        subscription_id,
        owner,
        target,
        package,
        channel_set_id,
        application_id,
        expires_at,
        reserved,
        call_control,
        http_contact,
    ) = row;
    Ok(SubscriptionRecord {
        subscription_id,
        owner: serde_json::from_str(&owner).map_err(unreadable)?,
        target: serde_json::from_str(&target).map_err(unreadable)?,
        package,
        channel_set_id,
        http_contact,
        application_id: Some(application_id).filter(|id| !id.is_empty()),
        call_control,
        expires_at,
        sequence_reserved: count(reserved),
    })
}

const NO_SUBSCRIPTION: PortError = PortError::NotFound { what: "subscription" };

/// Forgets processes whose lease is over and their channels.
pub(crate) async fn forget_dead(tx: &mut WriteTx) -> PortResult<()> {
    let now = tx.now;
    sqlx::query("DELETE FROM processes WHERE alive_until <= ?")
        .bind(now)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    let gone = sqlx::query("DELETE FROM channels WHERE process NOT IN (SELECT process FROM processes)")
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    if gone.rows_affected() > 0 {
        tx.touch(SUBSCRIPTIONS);
    }
    Ok(())
}

#[async_trait]
impl EventSubscriptions for Subscriptions {
    async fn put_channel(&self, record: &ChannelRecord) -> PortResult<Vec<ChannelRecord>> {
        let limits = self.shared.event_limits.load();
        let owner = json(&record.owner)?;
        let mut tx = self.shared.db.begin().await?;
        let now = tx.now;
        // Another channel set of the same application ends (xsi.md section 5.2); without an application any number may be.
        let ended: Vec<ChannelRow> = sqlx::query_as(
            "DELETE FROM channels WHERE owner = ?1 AND application_id = ?2 AND channel_set_id <> ?3 RETURNING *",
        )
        .bind(&owner)
        .bind(&record.application_id)
        .bind(&record.channel_set_id)
        .fetch_all(tx.conn())
        .await
        .map_err(fault)?;
        let (own, all): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM channels WHERE owner = ?1 AND channel_id <> ?2), (SELECT COUNT(*) FROM channels)",
        )
        .bind(&owner)
        .bind(&record.channel_id)
        .fetch_one(tx.conn())
        .await
        .map_err(fault)?;
        if own >= i64::from(limits.maximum_channels_per_owner) || all >= i64::from(limits.maximum_channels) {
            return Err(PortError::LimitReached { what: "channels" });
        }
        sqlx::query(
            "INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
             channel_set_id = excluded.channel_set_id, owner = excluded.owner, application_id = excluded.application_id, \
             priority = excluded.priority, weight = excluded.weight, expires_at = excluded.expires_at, \
             process = excluded.process",
        )
        .bind(&record.channel_id)
        .bind(&record.channel_set_id)
        .bind(&owner)
        .bind(&record.application_id)
        .bind(i64::from(record.priority))
        .bind(i64::from(record.weight))
        .bind(record.expires_at)
        .bind(&record.process)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        sqlx::query("INSERT INTO processes VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(&record.process)
            .bind(now.saturating_add(FIRST_LEASE_MS))
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.touch(SUBSCRIPTIONS);
        tx.commit().await?;
        ended.into_iter().map(channel).collect()
    }

    async fn remove_channel(&self, channel_id: &str) -> PortResult<bool> {
        let mut tx = self.shared.db.begin().await?;
        let gone = sqlx::query("DELETE FROM channels WHERE channel_id = ?")
            .bind(channel_id)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Ok(false);
        }
        tx.touch(SUBSCRIPTIONS);
        tx.commit().await?;
        Ok(true)
    }

    async fn channels(&self) -> PortResult<Vec<ChannelRecord>> {
        let rows: Vec<ChannelRow> = sqlx::query_as("SELECT * FROM channels ORDER BY channel_id")
            .fetch_all(self.shared.db.read())
            .await
            .map_err(fault)?;
        rows.into_iter().map(channel).collect()
    }

    async fn process_alive(&self, process: &str, lease: Duration) -> PortResult<()> {
        let (processes, name) = (self.shared.processes.clone(), process.to_owned());
        // The lock comes before the row: whoever has a row and a file without a lock is gone.
        let looked = tokio::task::spawn_blocking(move || {
            processes.hold(&name)?;
            processes.bury()
        });
        let gone = match looked.await {
            Ok(Ok(gone)) => gone,
            // Without the files, leases tell.
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot tell which processes live");
                Vec::new()
            }
            Err(error) => return Err(PortError::Internal(Box::new(error))),
        };
        let mut tx = self.shared.db.begin().await?;
        for dead in gone {
            sqlx::query("DELETE FROM processes WHERE process = ?")
                .bind(dead)
                .execute(tx.conn())
                .await
                .map_err(fault)?;
        }
        let until = tx.now.saturating_add(int(lease.as_millis()));
        sqlx::query("INSERT INTO processes VALUES (?, ?) ON CONFLICT DO UPDATE SET alive_until = excluded.alive_until")
            .bind(process)
            .bind(until)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        forget_dead(&mut tx).await?;
        tx.commit().await
    }

    async fn add_subscription(&self, record: &SubscriptionRecord) -> PortResult<Option<SubscriptionRecord>> {
        let limits = self.shared.event_limits.load();
        let (owner, target) = (json(&record.owner)?, json(&record.target)?);
        let application_id = record.application_id.clone().unwrap_or_default();
        let mut tx = self.shared.db.begin().await?;
        let replaced: Option<SubscriptionRow> = sqlx::query_as(
            "DELETE FROM subscriptions WHERE owner = ? AND target = ? AND package = ? AND application_id = ? RETURNING *",
        )
        .bind(&owner)
        .bind(&target)
        .bind(&record.package)
        .bind(&application_id)
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
        let (own, all): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM subscriptions WHERE owner = ?), (SELECT COUNT(*) FROM subscriptions)",
        )
        .bind(&owner)
        .fetch_one(tx.conn())
        .await
        .map_err(fault)?;
        let full = own >= i64::from(limits.maximum_subscriptions_per_owner)
            || all >= i64::from(limits.maximum_subscriptions);
        if full {
            return Err(PortError::LimitReached { what: "subscriptions" });
        }
        sqlx::query("INSERT INTO subscriptions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(&record.subscription_id)
            .bind(&owner)
            .bind(&target)
            .bind(&record.package)
            .bind(&record.channel_set_id)
            .bind(&application_id)
            .bind(record.expires_at)
            .bind(int(record.sequence_reserved))
            .bind(&record.call_control)
            .bind(&record.http_contact)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.touch(SUBSCRIPTIONS);
        tx.commit().await?;
        replaced.map(subscription).transpose()
    }

    async fn refresh_subscription(&self, subscription_id: &str, expires_at: Option<i64>) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let changed = sqlx::query("UPDATE subscriptions SET expires_at = ? WHERE subscription_id = ?")
            .bind(expires_at)
            .bind(subscription_id)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if changed.rows_affected() == 0 {
            return Err(NO_SUBSCRIPTION);
        }
        tx.touch(SUBSCRIPTIONS);
        tx.commit().await
    }

    async fn remove_subscription(&self, subscription_id: &str) -> PortResult<SubscriptionRecord> {
        let mut tx = self.shared.db.begin().await?;
        let row: Option<SubscriptionRow> =
            sqlx::query_as("DELETE FROM subscriptions WHERE subscription_id = ? RETURNING *")
                .bind(subscription_id)
                .fetch_optional(tx.conn())
                .await
                .map_err(fault)?;
        let record = subscription(row.ok_or(NO_SUBSCRIPTION)?)?;
        tx.touch(SUBSCRIPTIONS);
        tx.commit().await?;
        Ok(record)
    }

    async fn subscription(&self, subscription_id: &str) -> PortResult<SubscriptionRecord> {
        let row: Option<SubscriptionRow> =
            sqlx::query_as("SELECT * FROM subscriptions WHERE subscription_id = ?")
                .bind(subscription_id)
                .fetch_optional(self.shared.db.read())
                .await
                .map_err(fault)?;
        subscription(row.ok_or(NO_SUBSCRIPTION)?)
    }

    async fn subscriptions(&self) -> PortResult<Vec<SubscriptionRecord>> {
        let rows: Vec<SubscriptionRow> =
            sqlx::query_as("SELECT * FROM subscriptions ORDER BY subscription_id")
                .fetch_all(self.shared.db.read())
                .await
                .map_err(fault)?;
        rows.into_iter().map(subscription).collect()
    }

    async fn reserve_sequence(&self, subscription_id: &str, number: u64) -> PortResult<u64> {
        let mut tx = self.shared.db.begin().await?;
        let row: Option<(i64,)> = sqlx::query_as(
            "UPDATE subscriptions SET sequence_reserved = sequence_reserved + ?1 WHERE subscription_id = ?2 \
             RETURNING sequence_reserved - ?1",
        )
        .bind(int(number))
        .bind(subscription_id)
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
        let (before,) = row.ok_or(NO_SUBSCRIPTION)?;
        tx.commit().await?;
        Ok(count(before))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.db.wake().subscribe(SUBSCRIPTIONS)
    }
}
