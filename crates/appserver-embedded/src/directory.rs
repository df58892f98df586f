//! Profiles and directories.

use crate::Shared;
use crate::db::{fault, int};
use async_trait::async_trait;
use openadp_appserver::{
    Directory, DirectoryPage, DirectoryQuery, DirectoryScope, PortError, PortResult, Profile, SearchTerm,
    UserId,
};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
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

/// Whether a value fits a pattern with `*` at either end.
fn matches(value: &str, pattern: &str, ignore_case: bool) -> bool {
    let (value, pattern) = if ignore_case {
        (value.to_lowercase(), pattern.to_lowercase())
    } else {
        (value.to_owned(), pattern.to_owned())
    };
    let (open_start, open_end) = (pattern.starts_with('*'), pattern.len() > 1 && pattern.ends_with('*'));
    let text = pattern.strip_prefix('*').unwrap_or(&pattern);
    let text = if open_end { text.strip_suffix('*').unwrap_or(text) } else { text };
    match (open_start, open_end) {
        (true, true) => value.contains(text),
        (true, false) => value.ends_with(text),
        (false, true) => value.starts_with(text),
        (false, false) => value == text,
    }
}

/// Whether an entry fits one term. A field that entries do not have fits nobody.
fn fits(entry: &Profile, term: &SearchTerm) -> bool {
    let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
    let is_number = matches!(term.field.as_str(), "number" | "mobileNo");
    let values = match term.field.as_str() {
        "firstName" => vec![entry.first_name.clone()],
        "lastName" => vec![entry.last_name.clone()],
        "name" => vec![
            entry.first_name.clone(),
            entry.last_name.clone(),
            format!("{} {}", entry.first_name, entry.last_name),
            format!("{} {}", entry.last_name, entry.first_name),
        ],
        "userId" => vec![entry.user_id.clone()],
        "groupId" => vec![entry.group_id.clone()],
        "number" => one(&entry.number),
        "extension" => one(&entry.extension),
        "mobileNo" => one(&entry.mobile),
        "department" => one(&entry.department),
        "emailAddress" => one(&entry.email_address),
        "title" => one(&entry.title),
        _ => Vec::new(),
    };
    term.patterns.iter().any(|pattern| {
        values.iter().any(|value| {
            if is_number {
                // Numbers are written with and without dashes and plus.
                let plain = |text: &str| text.replace(['-', ' ', '+'], "");
                matches(&plain(value), &plain(pattern), false)
            } else {
                matches(value, pattern, term.ignore_case)
            }
        })
    })
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
        viewer: &UserId,
        scope: DirectoryScope,
        query: &DirectoryQuery,
    ) -> PortResult<DirectoryPage> {
        let domain = self.messaging_domain();
        if query.terms.iter().map(|term| term.patterns.len()).sum::<usize>() > MAX_PATTERNS {
            return Err(PortError::Invalid {
                field: "search",
                reason: format!("more than {MAX_PATTERNS} patterns"),
            });
        }
        let mut tx = self.shared.db.snapshot().await?;
        let own: Option<(String, String)> =
            sqlx::query_as("SELECT provider, group_id FROM users WHERE user_id = ?")
                .bind(viewer.as_str())
                .fetch_optional(&mut *tx)
                .await
                .map_err(fault)?;
        let (provider, group) = own.ok_or(NO_USER)?;
        let group = match scope {
            DirectoryScope::Enterprise => None,
            DirectoryScope::Group => Some(group),
        };
        let (skip, take) = (query.start.saturating_sub(1), query.results.min(MAX_PAGE));
        let everybody = query.terms.is_empty();
        // Without terms the database cuts the page; with terms, all of the scope is looked at, because ignoring case is
        // more than SQLite knows. Passwords of others are nobody's business, hence no expiry.
        let (limit, offset) = if everybody { (int(take), int(skip)) } else { (-1, 0) };
        let rows = sqlx::query(
            "SELECT u.*, p.is_enterprise, NULL AS expires_at FROM users u JOIN providers p USING (provider) \
             WHERE provider = ?1 AND (?2 IS NULL OR group_id = ?2) \
             ORDER BY last_name, first_name, user_id LIMIT ?3 OFFSET ?4",
        )
        .bind(&provider)
        .bind(&group)
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        if everybody {
            let (total,): (i64,) = sqlx::query_as(
                "SELECT COUNT(*) FROM users WHERE provider = ?1 AND (?2 IS NULL OR group_id = ?2)",
            )
            .bind(&provider)
            .bind(&group)
            .fetch_one(&mut *tx)
            .await
            .map_err(fault)?;
            let entries = rows
                .iter()
                .map(|row| profile(row, 0, domain.as_deref()))
                .collect::<Result<_, _>>()
                .map_err(fault)?;
            return Ok(DirectoryPage { entries, total: usize::try_from(total).unwrap_or_default() });
        }
        let mut page = DirectoryPage::default();
        for row in &rows {
            let entry = profile(row, 0, domain.as_deref()).map_err(fault)?;
            let good = if query.any_term {
                query.terms.iter().any(|term| fits(&entry, term))
            } else {
                query.terms.iter().all(|term| fits(&entry, term))
            };
            if good {
                page.total += 1;
                if page.total > skip && page.entries.len() < take {
                    page.entries.push(entry);
                }
            }
        }
        Ok(page)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_at_either_end() {
        for (value, pattern, ignore_case, expected) in [
            ("Smith", "Smith", false, true),
            ("Smith", "smith", false, false),
            ("Smith", "smith", true, true),
            ("Smith", "Smi*", false, true),
            ("Smith", "*ith", false, true),
            ("Smith", "*mit*", false, true),
            ("Smith", "*", false, true),
            ("Smith", "**", false, true),
            ("Smith", "*x*", false, false),
            ("Smith", "", false, false),
            ("", "", false, true),
            ("Müñoz", "*ÜÑ*", true, true),
            ("a*b", "a*b", false, true),
        ] {
            assert_eq!(matches(value, pattern, ignore_case), expected, "{value} {pattern}");
        }
    }
}
