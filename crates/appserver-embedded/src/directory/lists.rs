//! Phone lists: names and numbers of nobody in the directory. And directories that administrators put together.

use super::index::{digits, fold};
use super::{bounded, cut, no_order};
use crate::Shared;
use crate::db::{fault, json};
use crate::provisioning::{check, conflict, invalid};
use openadp_appserver::{DirectoryQuery, PhoneListEntry, PhoneListPage, PortError, PortResult, UserId};
use serde::Serialize;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

/// Longest name and number of an entry (the product's own fields have 50 and 30).
const MAX_NAME: usize = 50;
const MAX_NUMBER: usize = 30;

/// Whose phone list it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PhoneListOwner {
    /// A service provider's or enterprise's.
    Enterprise {
        /// Its id.
        provider: String,
    },
    /// A group's.
    Group {
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
    },
    /// A subscriber's own.
    Personal {
        /// Its id.
        user: UserId,
    },
}

/// How an owner is stored.
pub(crate) fn owner_key(owner: &PhoneListOwner) -> PortResult<String> {
    json(owner)
}

/// A page of somebody's list.
pub(super) async fn page(
    tx: &mut SqliteConnection,
    owner: &PhoneListOwner,
    query: &DirectoryQuery,
) -> PortResult<PhoneListPage> {
    bounded(query)?;
    let order = match query.sort.as_deref() {
        None => "name",
        Some("name" | "lastName" | "firstName") => "folded, name",
        Some("number") => "digits, name",
        Some(_) => return Err(no_order(query)),
    };
    let list: Option<(i64, i64)> = sqlx::query_as("SELECT list, entries FROM phone_lists WHERE owner = ?")
        .bind(owner_key(owner)?)
        .fetch_optional(&mut *tx)
        .await
        .map_err(fault)?;
    let Some((list, all)) = list else { return Ok(PhoneListPage::default()) };
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT name, number FROM phone_list_entries WHERE list = ");
    sql.push_bind(list);
    filter(&mut sql, query);
    sql.push(" ORDER BY ").push(order);
    cut(&mut sql, query);
    let rows = sql.build().fetch_all(&mut *tx).await.map_err(fault)?;
    let total = if query.terms.is_empty() {
        all
    } else {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM phone_list_entries WHERE list = ");
        sql.push_bind(list);
        filter(&mut sql, query);
        sql.build_query_scalar().fetch_one(&mut *tx).await.map_err(fault)?
    };
    let entries = rows
        .iter()
        .map(|row| Ok(PhoneListEntry { name: row.try_get("name")?, number: row.try_get("number")? }))
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    Ok(PhoneListPage { entries, total: usize::try_from(total).unwrap_or_default() })
}

/// What a search asks of a row; a list has no more than some ten thousands of them, side by side in one index.
fn filter(sql: &mut QueryBuilder<Sqlite>, query: &DirectoryQuery) {
    if query.terms.is_empty() {
        return;
    }
    sql.push(" AND (");
    for (number, term) in query.terms.iter().enumerate() {
        if number > 0 {
            sql.push(if query.any_term { " OR " } else { " AND " });
        }
        sql.push("(0");
        for pattern in &term.patterns {
            let (column, pattern) = match term.field.as_str() {
                "name" if term.ignore_case => ("folded", fold(pattern)),
                "name" => ("name", pattern.clone()),
                "number" => ("digits", digits(pattern)),
                _ => continue,
            };
            sql.push(" OR ");
            super::search::fits(sql, column, &pattern);
        }
        sql.push(")");
    }
    sql.push(")");
}

/// What an administrator changes in phone lists and custom directories.
pub(crate) struct Entries<'a> {
    pub(crate) shared: &'a Shared,
}

impl Entries<'_> {
    /// Adds entries or changes the numbers of those that are there.
    pub(crate) async fn put(&self, owner: &PhoneListOwner, entries: &[PhoneListEntry]) -> PortResult<()> {
        for entry in entries {
            check("name", &entry.name, MAX_NAME)?;
            check("number", &entry.number, MAX_NUMBER)?;
            if !entry.number.chars().all(|c| c.is_ascii_digit() || " +-().*#".contains(c)) {
                return Err(invalid("number", "digits, + * # and what stands between them"));
            }
        }
        let most = i64::from(self.shared.directory_limits.load().maximum_phone_list_entries);
        let (provider, group, user) = match owner {
            PhoneListOwner::Enterprise { provider } => (Some(provider), None, None),
            PhoneListOwner::Group { provider, group } => (Some(provider), Some(group), None),
            PhoneListOwner::Personal { user } => (None, None, Some(user.as_str())),
        };
        let mut tx = self.shared.db.begin().await?;
        let key = owner_key(owner)?;
        sqlx::query("INSERT INTO phone_lists (owner, entries, provider, group_id, user_id) VALUES (?, 0, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(&key)
            .bind(provider)
            .bind(group)
            .bind(user)
            .execute(tx.conn())
            .await
            .map_err(conflict("owner of the list"))?;
        let (list,): (i64,) = sqlx::query_as("SELECT list FROM phone_lists WHERE owner = ?")
            .bind(&key)
            .fetch_one(tx.conn())
            .await
            .map_err(fault)?;
        for entry in entries {
            sqlx::query(
                "INSERT INTO phone_list_entries VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
                 number = excluded.number, digits = excluded.digits",
            )
            .bind(list)
            .bind(&entry.name)
            .bind(&entry.number)
            .bind(fold(&entry.name))
            .bind(digits(&entry.number))
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        }
        let (now,): (i64,) = sqlx::query_as("SELECT entries FROM phone_lists WHERE list = ?")
            .bind(list)
            .fetch_one(tx.conn())
            .await
            .map_err(fault)?;
        if now > most {
            return Err(PortError::LimitReached { what: "phone list entries" });
        }
        tx.commit().await
    }

    /// Takes an entry away.
    pub(crate) async fn remove(&self, owner: &PhoneListOwner, name: &str) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM phone_list_entries WHERE list = (SELECT list FROM phone_lists WHERE owner = ?) AND name = ?",
        )
        .bind(owner_key(owner)?)
        .bind(name)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "entry" });
        }
        tx.commit().await
    }

    /// Makes a directory of a group, or puts a subscriber of the same enterprise into one.
    pub(crate) async fn put_custom(
        &self,
        provider: &str,
        group: &str,
        name: &str,
        member: Option<&UserId>,
    ) -> PortResult<()> {
        check("directory", name, 40)?;
        let mut tx = self.shared.db.begin().await?;
        sqlx::query(
            "INSERT INTO custom_directories (provider, group_id, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(provider)
        .bind(group)
        .bind(name)
        .execute(tx.conn())
        .await
        .map_err(conflict("group"))?;
        if let Some(member) = member {
            let done = sqlx::query(
                "INSERT INTO custom_directory_users SELECT c.directory, u.user_id FROM custom_directories c, users u \
                 WHERE c.provider = ?1 AND c.group_id = ?2 AND c.name = ?3 AND u.provider = ?1 AND u.user_id = ?4 \
                 ON CONFLICT DO UPDATE SET user_id = excluded.user_id",
            )
            .bind(provider)
            .bind(group)
            .bind(name)
            .bind(member.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
            if done.rows_affected() == 0 {
                return Err(PortError::NotFound { what: "user" });
            }
        }
        tx.commit().await
    }

    /// Takes a subscriber out of a directory, or deletes the directory.
    pub(crate) async fn remove_custom(
        &self,
        provider: &str,
        group: &str,
        name: &str,
        member: Option<&UserId>,
    ) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let query = match member {
            Some(member) => sqlx::query(
                "DELETE FROM custom_directory_users WHERE directory = (SELECT directory FROM custom_directories \
                 WHERE provider = ?1 AND group_id = ?2 AND name = ?3) AND user_id = ?4",
            )
            .bind(provider.to_owned())
            .bind(group.to_owned())
            .bind(name.to_owned())
            .bind(member.as_str().to_owned()),
            None => {
                sqlx::query("DELETE FROM custom_directories WHERE provider = ?1 AND group_id = ?2 AND name = ?3")
                    .bind(provider.to_owned())
                    .bind(group.to_owned())
                    .bind(name.to_owned())
            }
        };
        let gone = query.execute(tx.conn()).await.map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "entry" });
        }
        tx.commit().await
    }
}
