//! Services of subscribers.

use crate::db::{count, fault, json, unreadable};
use crate::engine::Dialled;
use crate::{Shared, events};
use async_trait::async_trait;
use openadp_appserver::{
    Event, Member, MemberKind, Patch, PortError, PortResult, RecordChange, Records, Service, ServiceKind,
    Services, Setting, Settings, UserId,
};
use std::sync::Arc;

pub(crate) struct UserServices {
    pub(crate) shared: Arc<Shared>,
}

/// The kind that a row is of; none for one of another release.
pub(crate) fn kind_of(name: &str) -> Option<ServiceKind> {
    ServiceKind::ALL.iter().copied().find(|kind| kind.display_name() == name)
}

/// Whether every number among the settings can be dialled.
fn check_numbers(members: &'static [Member], settings: &Settings) -> PortResult<()> {
    for member in members {
        match (&member.kind, settings.get(member.name)) {
            (MemberKind::Number, Some(Setting::Text(number))) => {
                Dialled::parse(number).map_err(|reason| PortError::Invalid { field: member.name, reason })?;
            }
            (
                MemberKind::Entries { members, .. }
                | MemberKind::Items { members, .. }
                | MemberKind::Records(Records { members, .. }),
                Some(Setting::Entries(entries)),
            ) => {
                entries.iter().try_for_each(|entry| check_numbers(members, entry))?;
            }
            (MemberKind::Group { members }, Some(Setting::Group(group))) => check_numbers(members, group)?,
            (MemberKind::Numbers { item, .. }, Some(Setting::Numbers(numbers))) => {
                for number in numbers {
                    Dialled::parse(number).map_err(|reason| PortError::Invalid { field: item, reason })?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a row says of a service: its settings, or that it was taken away. Without a row it is as it is at first.
fn of_row(kind: ServiceKind, row: Option<(String, bool)>) -> PortResult<Option<Service>> {
    match row {
        None => Ok(Some(Service::new(kind))),
        Some((_, true)) => Ok(None),
        Some((text, false)) => {
            Ok(Some(Service { kind, settings: serde_json::from_str(&text).map_err(unreadable)? }))
        }
    }
}

impl UserServices {
    /// Changes a service in one transaction, and tells of it if anything is different.
    async fn edit(
        &self,
        user: &UserId,
        kind: ServiceKind,
        change: impl FnOnce(&mut Service) -> PortResult<()> + Send,
    ) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let known: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(tx.conn())
            .await
            .map_err(fault)?;
        known.ok_or(PortError::NotFound { what: "user" })?;
        let row: Option<(String, bool)> =
            sqlx::query_as("SELECT settings, taken FROM services WHERE user_id = ? AND kind = ?")
                .bind(user.as_str())
                .bind(kind.display_name())
                .fetch_optional(tx.conn())
                .await
                .map_err(fault)?;
        let Some(mut service) = of_row(kind, row)? else {
            return Err(PortError::NotAssigned { service: kind.display_name() });
        };
        let former = service.clone();
        change(&mut service)?;
        check_numbers(kind.spec().members, &service.settings)?;
        if service == former {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO services (user_id, kind, settings) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET \
             settings = excluded.settings",
        )
        .bind(user.as_str())
        .bind(kind.display_name())
        .bind(json(&service.settings)?)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        events::append(&mut tx, user, &Event::Service(service)).await?;
        tx.commit().await
    }
}

#[async_trait]
impl Services for UserServices {
    async fn assigned(&self, user: &UserId) -> PortResult<Vec<ServiceKind>> {
        let rows: Vec<(Option<String>,)> = sqlx::query_as(
            "SELECT s.kind FROM users u LEFT JOIN services s ON s.user_id = u.user_id AND s.taken WHERE u.user_id = ?",
        )
        .bind(user.as_str())
        .fetch_all(self.shared.db.read())
        .await
        .map_err(fault)?;
        if rows.is_empty() {
            return Err(PortError::NotFound { what: "user" });
        }
        let taken: Vec<ServiceKind> =
            rows.iter().filter_map(|(name,)| name.as_deref().and_then(kind_of)).collect();
        Ok(ServiceKind::ALL.iter().copied().filter(|kind| !taken.contains(kind)).collect())
    }

    async fn service(&self, user: &UserId, kind: ServiceKind) -> PortResult<(u64, Service)> {
        // One statement sees one state: the position fits the settings.
        let row: Option<(i64, Option<String>, Option<bool>)> = sqlx::query_as(
            "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0), s.settings, s.taken FROM users u \
             LEFT JOIN services s ON s.user_id = u.user_id AND s.kind = ?2 WHERE u.user_id = ?1",
        )
        .bind(user.as_str())
        .bind(kind.display_name())
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        let Some((position, text, taken)) = row else { return Err(PortError::NotFound { what: "user" }) };
        match of_row(kind, text.zip(taken))? {
            Some(service) => Ok((count(position), service)),
            None => Err(PortError::NotAssigned { service: kind.display_name() }),
        }
    }

    async fn change_service(&self, user: &UserId, kind: ServiceKind, patch: Patch) -> PortResult<()> {
        self.edit(user, kind, |service| service.change(patch)).await
    }

    async fn change_record(
        &self,
        user: &UserId,
        kind: ServiceKind,
        key: &str,
        change: RecordChange,
    ) -> PortResult<()> {
        self.edit(user, kind, |service| service.change_record(key, change)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_appserver::{ACTIVE, FORWARD_TO, NUMBER_OF_RINGS, RING_SPLASH};
    use sqlx::Connection as _;

    /// What a store of the release before held becomes what is written now, and so do events that nobody has read yet.
    #[tokio::test]
    async fn settings_of_an_older_store_are_taken_over() {
        let mut db = sqlx::SqliteConnection::connect("sqlite::memory:").await.expect("opens");
        sqlx::raw_sql(include_str!("../migrations/0001_init.sql")).execute(&mut db).await.expect("made");
        let number = |to: Option<&str>| to.map_or("null".to_owned(), |to| format!("\"{to}\""));
        let forwards = |kind: &str, more: &str, active: bool, to: Option<&str>| {
            format!("{{\"{kind}\":{{\"active\":{active},\"forward_to\":{}{more}}}}}", number(to))
        };
        let service = Service::new;
        let cases = [
            (
                r#"{"DoNotDisturb":{"active":true,"ring_splash":false}}"#.to_owned(),
                service(ServiceKind::DoNotDisturb).with(ACTIVE, true),
            ),
            (
                forwards("CallForwardingAlways", ",\"ring_splash\":true", false, None),
                service(ServiceKind::CallForwardingAlways).with(RING_SPLASH, true),
            ),
            (
                forwards("CallForwardingBusy", "", true, Some("+12125550101")),
                service(ServiceKind::CallForwardingBusy).with(ACTIVE, true).with(FORWARD_TO, "+12125550101"),
            ),
            (
                forwards("CallForwardingNoAnswer", ",\"number_of_rings\":0", false, Some("1002")),
                service(ServiceKind::CallForwardingNoAnswer)
                    .with(NUMBER_OF_RINGS, 0)
                    .with(FORWARD_TO, "1002"),
            ),
        ];
        sqlx::raw_sql("PRAGMA foreign_keys = off; INSERT INTO users VALUES ('alice@lab', 'acme', 'north', 'Alice', 'Ng', \
             NULL, NULL, '1', NULL, NULL, NULL, NULL, NULL, 'alice@lab', 0)")
            .execute(&mut db)
            .await
            .expect("a user");
        for (old, new) in &cases {
            sqlx::query("INSERT INTO services VALUES ('alice@lab', ?, ?)")
                .bind(new.kind.display_name())
                .bind(old)
                .execute(&mut db)
                .await
                .expect("a service");
            sqlx::query("INSERT INTO feed VALUES (NULL, 1, 'alice@lab', 'acme', 'north', 0, NULL, ?)")
                .bind(format!("{{\"Service\":{old}}}"))
                .execute(&mut db)
                .await
                .expect("an event");
        }
        let hook = "INSERT INTO feed VALUES (NULL, 2, 'alice@lab', 'acme', 'north', 0, NULL, '{\"Hook\":\"OnHook\"}')";
        sqlx::query(hook).execute(&mut db).await.expect("an event");
        sqlx::raw_sql(include_str!("../migrations/0003_services.sql"))
            .execute(&mut db)
            .await
            .expect("migrated");

        let events: Vec<(String,)> = sqlx::query_as("SELECT event FROM feed ORDER BY position")
            .fetch_all(&mut db)
            .await
            .expect("events");
        let events: Vec<Event> =
            events.iter().map(|(text,)| serde_json::from_str(text).expect("an event of today")).collect();
        let services: Vec<Event> = cases.iter().map(|(_, new)| Event::Service(new.clone())).collect();
        assert_eq!(events.split_last().map(|(_, services)| services), Some(services.as_slice()));
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT kind, settings FROM services").fetch_all(&mut db).await.expect("services");
        assert_eq!(rows.len(), 10, "those of then");
        for (name, text) in rows {
            let kind = kind_of(&name).expect("a kind of today");
            let settings: Settings = serde_json::from_str(&text).expect("settings of today");
            let expected = cases.iter().find(|(_, new)| new.kind == kind).map(|(_, new)| new.clone());
            assert_eq!(settings, expected.unwrap_or_else(|| service(kind)).settings, "{name}");
        }
    }
}
