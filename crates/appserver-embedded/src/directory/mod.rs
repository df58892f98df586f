//! Profiles and directories. Whatever is searched, sorted and cut is so in the store.

mod index;
mod lists;
mod search;

pub(crate) use index::{fill, put};
pub use lists::PhoneListOwner;
pub(crate) use lists::{Entries, owner_key};

use crate::Shared;
use crate::db::{fault, int};
use async_trait::async_trait;
use openadp_appserver::{
    Directory, DirectoryPage, DirectoryQuery, DirectoryScope, PhoneList, PhoneListPage, PortError,
    PortResult, Profile, UserId,
};
use search::{Key, Scope};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::sync::Arc;

/// Most entries of one page; clients ask for 50 to 1000 (xsi.md section 3.5).
const MAX_PAGE: usize = 1_000;
/// Most patterns of one search.
const MAX_PATTERNS: usize = 64;
const DAY_MS: i64 = 86_400_000;

const NO_USER: PortError = PortError::NotFound { what: "user" };

pub(crate) struct Profiles {
    pub(crate) shared: Arc<Shared>,
}

impl Profiles {
    /// Domain of messaging addresses, where subscribers have any.
    fn messaging_domain(&self) -> Option<String> {
        let active = self.shared.messaging_active.load().active;
        self.shared.messaging.load().service_domain.clone().filter(|_| active)
    }
}

fn profile(row: &SqliteRow, now: i64, domain: Option<&str>) -> Result<Profile, sqlx::Error> {
    let expires_at: Option<i64> = row.try_get("expires_at")?;
    let user_id: String = row.try_get("user_id")?;
    let local = user_id.split('@').next().unwrap_or_default();
    Ok(Profile {
        imp_id: domain.map(|domain| format!("{local}@{domain}")),
        user_id,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        group_id: row.try_get("group_id")?,
        service_provider: row.try_get("provider")?,
        is_enterprise: row.try_get("is_enterprise")?,
        number: row.try_get("number")?,
        extension: row.try_get("extension")?,
        country_code: row.try_get("country_code")?,
        mobile: row.try_get("mobile")?,
        email_address: row.try_get("email")?,
        title: row.try_get("title")?,
        department: row.try_get("department")?,
        time_zone: row.try_get("time_zone")?,
        password_expires_days: expires_at.map(|at| at.saturating_sub(now).div_euclid(DAY_MS)),
    })
}

/// The error for what a directory cannot be ordered by.
fn no_order(query: &DirectoryQuery) -> PortError {
    let column: String = query.sort.iter().flat_map(|column| column.chars()).take(40).collect();
    PortError::Invalid { field: "sortColumn", reason: format!("nothing is sorted by {column}") }
}

/// Refuses searches that would be too long to write down.
fn bounded(query: &DirectoryQuery) -> PortResult<()> {
    if query.terms.iter().map(|term| term.patterns.len()).sum::<usize>() > MAX_PATTERNS {
        let reason = format!("more than {MAX_PATTERNS} patterns");
        return Err(PortError::Invalid { field: "search", reason });
    }
    Ok(())
}

/// Appends the cut of a page.
fn cut(sql: &mut QueryBuilder<Sqlite>, query: &DirectoryQuery) {
    sql.push(" LIMIT ").push_bind(int(query.results.min(MAX_PAGE)));
    sql.push(" OFFSET ").push_bind(int(query.start.saturating_sub(1)));
}

/// Somebody who looks at a directory.
struct Viewer {
    provider: String,
    group: String,
    /// Number of the provider.
    place: i64,
}

async fn viewer(tx: &mut SqliteConnection, user: &UserId) -> PortResult<Viewer> {
    let row: Option<(String, String, Option<i64>)> = sqlx::query_as(
        "SELECT provider, group_id, (SELECT place FROM places p WHERE p.provider = u.provider) FROM users u \
         WHERE user_id = ?",
    )
    .bind(user.as_str())
    .fetch_optional(tx)
    .await
    .map_err(fault)?;
    let (provider, group, place) = row.ok_or(NO_USER)?;
    Ok(Viewer { provider, group, place: place.unwrap_or_default() })
}

/// Begins a page: the columns of everybody whom the rows that follow name, with `total` and the keys of the order.
fn begin_page(sql: &mut QueryBuilder<Sqlite>) {
    sql.push("SELECT u.*, p.is_enterprise, NULL AS expires_at, page.total FROM (");
}

/// Ends it.
fn end_page(sql: &mut QueryBuilder<Sqlite>, order: &[Key]) {
    sql.push(") page CROSS JOIN users u ON u.user_id = page.user_id JOIN providers p ON p.provider = u.provider ORDER BY ");
    for n in 0..order.len() {
        sql.push(format_args!("{}page.k{n} NULLS LAST", if n == 0 { "" } else { ", " }));
    }
}

/// Writes the keys of an order: as columns of a row, or as what rows are ordered by.
fn keys(sql: &mut QueryBuilder<Sqlite>, order: &[Key], columns: bool) {
    for (n, key) in order.iter().enumerate() {
        let nulls = if key.nullable { " NULLS LAST" } else { "" };
        if columns {
            sql.push(format_args!(", {} AS k{n}", key.value));
        } else {
            sql.push(format_args!("{}{}{nulls}", if n == 0 { " ORDER BY " } else { ", " }, key.value));
        }
    }
}

impl Profiles {
    /// A page of a scope.
    async fn page(
        &self,
        tx: &mut SqliteConnection,
        viewer: &Viewer,
        scope: &Scope,
        query: &DirectoryQuery,
    ) -> PortResult<DirectoryPage> {
        let order = search::order(query.sort.as_deref()).ok_or_else(|| no_order(query))?;
        let domain = self.messaging_domain();
        let mut sql = QueryBuilder::<Sqlite>::new("");
        let counted = if query.terms.is_empty() {
            everybody(&mut sql, viewer, scope, query, &order);
            Some(count(tx, scope).await?)
        } else {
            found(&mut sql, scope, query, &order, domain.as_deref());
            None
        };
        let rows = sql.build().fetch_all(&mut *tx).await.map_err(fault)?;
        let total = match (counted, rows.first()) {
            (Some(total), _) => total,
            (None, Some(row)) => row.try_get("total").map_err(fault)?,
            // Beyond the end, or of no length: nobody was there to tell.
            (None, None) => {
                let mut sql = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (");
                search::hits(&mut sql, scope, query, domain.as_deref());
                sql.push(")");
                sql.build_query_scalar().fetch_one(&mut *tx).await.map_err(fault)?
            }
        };
        // Passwords of others are nobody's business: the rows say nothing of their expiry.
        let entries = rows
            .iter()
            .map(|row| profile(row, 0, domain.as_deref()))
            .collect::<Result<_, _>>()
            .map_err(fault)?;
        Ok(DirectoryPage { entries, total: usize::try_from(total).unwrap_or_default() })
    }
}

/// How many a scope has; kept with every change, so that it costs the same for a thousand and for a million.
async fn count(tx: &mut SqliteConnection, scope: &Scope) -> PortResult<i64> {
    let (entries,): (i64,) = match scope.custom {
        Some(custom) => {
            sqlx::query_as("SELECT COUNT(*) FROM custom_directory_users WHERE directory = ?").bind(custom)
        }
        None => sqlx::query_as(
            "SELECT coalesce((SELECT entries FROM directory_counts WHERE place = ? AND group_id = ?), 0)",
        )
        .bind(scope.place)
        .bind(scope.group.clone().unwrap_or_default()),
    }
    .fetch_one(tx)
    .await
    .map_err(fault)?;
    Ok(entries)
}

/// A page of a whole scope, cut by an index where it is ordered by name.
fn everybody(
    sql: &mut QueryBuilder<Sqlite>,
    viewer: &Viewer,
    scope: &Scope,
    query: &DirectoryQuery,
    order: &[Key],
) {
    begin_page(sql);
    if query.sort.is_none() && scope.custom.is_none() {
        sql.push("SELECT user_id, 0 AS total, last_name AS k0, first_name AS k1, user_id AS k2 FROM users INDEXED BY ");
        sql.push(if scope.group.is_some() { "users_by_group_name" } else { "users_by_name" });
        sql.push(" WHERE provider = ").push_bind(viewer.provider.clone());
        if let Some(group) = &scope.group {
            sql.push(" AND group_id = ").push_bind(group.clone());
        }
        sql.push(" ORDER BY last_name, first_name, user_id");
    } else {
        sql.push("SELECT d.user_id, 0 AS total");
        keys(sql, order, true);
        match scope.custom {
            Some(custom) => {
                sql.push(" FROM custom_directory_users c CROSS JOIN directory d ON d.user_id = c.user_id WHERE c.directory = ");
                sql.push_bind(custom);
            }
            None => {
                sql.push(" FROM directory d WHERE d.place = ").push_bind(scope.place);
            }
        }
        if let Some(group) = &scope.group {
            sql.push(" AND d.group_id = ").push_bind(group.clone());
        }
        keys(sql, order, false);
    }
    cut(sql, query);
    end_page(sql, order);
}

/// A page of whom a search fits.
fn found(
    sql: &mut QueryBuilder<Sqlite>,
    scope: &Scope,
    query: &DirectoryQuery,
    order: &[Key],
    domain: Option<&str>,
) {
    sql.push("WITH hits AS MATERIALIZED (");
    search::hits(sql, scope, query, domain);
    sql.push(") ");
    begin_page(sql);
    sql.push("SELECT d.user_id, (SELECT COUNT(*) FROM hits) AS total");
    keys(sql, order, true);
    sql.push(" FROM hits CROSS JOIN directory d ON d.entry = hits.entry");
    keys(sql, order, false);
    cut(sql, query);
    end_page(sql, order);
}

#[async_trait]
impl Directory for Profiles {
    async fn profile(&self, user: &UserId) -> PortResult<Profile> {
        let row = sqlx::query(
            "SELECT u.*, p.is_enterprise, c.expires_at FROM users u JOIN providers p USING (provider) \
             LEFT JOIN credentials c USING (user_id) WHERE u.user_id = ?",
        )
        .bind(user.as_str())
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        let domain = self.messaging_domain();
        profile(&row.ok_or(NO_USER)?, self.shared.db.now(), domain.as_deref()).map_err(fault)
    }

    async fn directory(
        &self,
        user: &UserId,
        scope: DirectoryScope,
        query: &DirectoryQuery,
    ) -> PortResult<DirectoryPage> {
        bounded(query)?;
        let mut tx = self.shared.db.snapshot().await?;
        let viewer = viewer(&mut tx, user).await?;
        let group = match scope {
            DirectoryScope::Enterprise => None,
            DirectoryScope::Group => Some(viewer.group.clone()),
        };
        let scope = Scope { place: viewer.place, group, custom: None };
        self.page(&mut tx, &viewer, &scope, query).await
    }

    async fn phone_list(
        &self,
        user: &UserId,
        list: PhoneList,
        query: &DirectoryQuery,
    ) -> PortResult<PhoneListPage> {
        bounded(query)?;
        let mut tx = self.shared.db.snapshot().await?;
        let Viewer { provider, group, .. } = viewer(&mut tx, user).await?;
        let owner = match list {
            PhoneList::Enterprise => PhoneListOwner::Enterprise { provider },
            PhoneList::Group => PhoneListOwner::Group { provider, group },
            PhoneList::Personal => PhoneListOwner::Personal { user: user.clone() },
        };
        lists::page(&mut tx, &owner, query).await
    }

    async fn custom_directories(&self, user: &UserId) -> PortResult<Vec<String>> {
        let mut tx = self.shared.db.snapshot().await?;
        let viewer = viewer(&mut tx, user).await?;
        let names: Vec<(String,)> = sqlx::query_as(
            "SELECT name FROM custom_directories WHERE provider = ? AND group_id = ? ORDER BY name",
        )
        .bind(&viewer.provider)
        .bind(&viewer.group)
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    async fn custom_directory(
        &self,
        user: &UserId,
        name: &str,
        query: &DirectoryQuery,
    ) -> PortResult<DirectoryPage> {
        bounded(query)?;
        let mut tx = self.shared.db.snapshot().await?;
        let viewer = viewer(&mut tx, user).await?;
        let found: Option<(i64,)> = sqlx::query_as(
            "SELECT directory FROM custom_directories WHERE provider = ? AND group_id = ? AND name = ?",
        )
        .bind(&viewer.provider)
        .bind(&viewer.group)
        .bind(name)
        .fetch_optional(&mut *tx)
        .await
        .map_err(fault)?;
        let (custom,) = found.ok_or(PortError::NotFound { what: "directory" })?;
        let scope = Scope { place: viewer.place, group: None, custom: Some(custom) };
        self.page(&mut tx, &viewer, &scope, query).await
    }

    async fn organisation_exists(&self, provider: &str, group: Option<&str>) -> PortResult<bool> {
        let found: Option<(i64,)> = match group {
            Some(group) => sqlx::query_as("SELECT 1 FROM groups WHERE provider = ? AND group_id = ?")
                .bind(provider)
                .bind(group),
            None => sqlx::query_as("SELECT 1 FROM providers WHERE provider = ?").bind(provider),
        }
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        Ok(found.is_some())
    }
}
