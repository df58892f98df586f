//! Services of subscribers.

use crate::db::{count, fault, json, unreadable};
use crate::engine::Dialled;
use crate::{Shared, events};
use async_trait::async_trait;
use openadp_appserver::{Event, PortError, PortResult, Service, ServiceKind, Services, UserId};
use std::sync::Arc;

pub(crate) struct UserServices {
    pub(crate) shared: Arc<Shared>,
}

/// Why there is no such service of this subscriber.
async fn missing(shared: &Shared, user: &UserId, kind: ServiceKind) -> PortError {
    let found: Result<Option<(i64,)>, _> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
        .bind(user.as_str())
        .fetch_optional(shared.db.read())
        .await;
    match found {
        Ok(Some(_)) => PortError::NotAssigned { service: kind.display_name() },
        Ok(None) => PortError::NotFound { what: "user" },
        Err(error) => fault(error),
    }
}

/// Checks settings and brings them into their stored form.
fn checked(mut service: Service) -> PortResult<Service> {
    let (active, forward_to) = match &mut service {
        Service::CallForwardingAlways(s) => (s.active, Some(&mut s.forward_to)),
        Service::CallForwardingBusy(s) => (s.active, Some(&mut s.forward_to)),
        Service::CallForwardingNoAnswer(s) => {
            if s.number_of_rings == 1 || s.number_of_rings > 20 {
                return Err(PortError::Invalid { field: "numberOfRings", reason: "0 or 2 to 20".to_owned() });
            }
            (s.active, Some(&mut s.forward_to))
        }
        Service::DoNotDisturb(s) => (s.active, None),
    };
    if let Some(forward_to) = forward_to {
        *forward_to = forward_to.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let invalid = |reason: String| PortError::Invalid { field: "forwardToPhoneNumber", reason };
        match forward_to {
            Some(text) => drop(Dialled::parse(text).map_err(invalid)?),
            None if active => return Err(invalid("must be set to activate forwarding".to_owned())),
            None => {}
        }
    }
    Ok(service)
}

#[async_trait]
impl Services for UserServices {
    async fn assigned(&self, user: &UserId) -> PortResult<Vec<ServiceKind>> {
        let rows: Vec<(Option<String>,)> = sqlx::query_as(
            "SELECT s.kind FROM users u LEFT JOIN services s USING (user_id) WHERE u.user_id = ? ORDER BY s.kind",
        )
        .bind(user.as_str())
        .fetch_all(self.shared.db.read())
        .await
        .map_err(fault)?;
        if rows.is_empty() {
            return Err(PortError::NotFound { what: "user" });
        }
        let kind = |name: &str| ServiceKind::ALL.into_iter().find(|kind| kind.display_name() == name);
        Ok(rows.iter().filter_map(|(name,)| name.as_deref().and_then(kind)).collect())
    }

    async fn service(&self, user: &UserId, kind: ServiceKind) -> PortResult<(u64, Service)> {
        // One statement sees one state: the position fits the settings.
        let row: Option<(i64, String)> = sqlx::query_as(
            "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0), settings FROM services \
             WHERE user_id = ? AND kind = ?",
        )
        .bind(user.as_str())
        .bind(kind.display_name())
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        match row {
            Some((position, text)) => Ok((count(position), serde_json::from_str(&text).map_err(unreadable)?)),
            None => Err(missing(&self.shared, user, kind).await),
        }
    }

    async fn set_service(&self, user: &UserId, service: Service) -> PortResult<()> {
        let service = checked(service)?;
        let text = json(&service)?;
        let mut tx = self.shared.db.begin().await?;
        let before: Option<(String,)> =
            sqlx::query_as("SELECT settings FROM services WHERE user_id = ? AND kind = ?")
                .bind(user.as_str())
                .bind(service.kind().display_name())
                .fetch_optional(tx.conn())
                .await
                .map_err(fault)?;
        let Some((before,)) = before else {
            drop(tx);
            return Err(missing(&self.shared, user, service.kind()).await);
        };
        if before == text {
            return Ok(());
        }
        sqlx::query("UPDATE services SET settings = ? WHERE user_id = ? AND kind = ?")
            .bind(text)
            .bind(user.as_str())
            .bind(service.kind().display_name())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        events::append(&mut tx, user, &Event::Service(service)).await?;
        tx.commit().await
    }
}
