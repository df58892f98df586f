//! What directories are searched by: folded values in a table of their own, three-character words of each beside it.
//!
//! `SQLite` folds ASCII only, so folding is done here, a character at a time and without regard to its neighbours: whatever
//! contains, begins or ends with a text does so after folding too.

use crate::Shared;
use crate::db::{WriteTx, fault};
use crate::events::put_fact;
use openadp_appserver::{PortResult, UserId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Entries of one place lie between `place << PLACE_BITS` and the next.
const PLACE_BITS: u32 = 40;
/// Subscribers of a former release that are taken over in one transaction.
const FILL_BATCH: i64 = 500;
/// Says that all of them were.
const FILLED: &str = "directory filled";

/// A text in the form in which it is compared without regard to case.
pub(crate) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A number without what people put between its digits.
pub(crate) fn digits(number: &str) -> String {
    number.chars().filter(|c| !matches!(c, '-' | ' ' | '+' | '(' | ')' | '.')).collect()
}

/// First and last entry of a place.
pub(super) fn bounds(place: i64) -> (i64, i64) {
    let first = place << PLACE_BITS;
    (first, first | ((1 << PLACE_BITS) - 1))
}

async fn place(tx: &mut WriteTx, provider: &str) -> PortResult<i64> {
    sqlx::query("INSERT INTO places (provider) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(provider)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    let (place,): (i64,) = sqlx::query_as("SELECT place FROM places WHERE provider = ?")
        .bind(provider)
        .fetch_one(tx.conn())
        .await
        .map_err(fault)?;
    Ok(place)
}

/// Puts a subscriber as it is stored now into the directory, in place of what stood there.
pub(crate) async fn put(tx: &mut WriteTx, user: &UserId) -> PortResult<()> {
    let row = sqlx::query("SELECT * FROM users WHERE user_id = ?")
        .bind(user.as_str())
        .fetch_one(tx.conn())
        .await
        .map_err(fault)?;
    put_row(tx, &row).await
}

async fn put_row(tx: &mut WriteTx, row: &SqliteRow) -> PortResult<()> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(fault);
    let optional = |name: &str| row.try_get::<Option<String>, _>(name).map_err(fault);
    let user = text("user_id")?;
    let place = place(tx, &text("provider")?).await?;
    let (first, last) = bounds(place);
    sqlx::query("DELETE FROM directory WHERE user_id = ?")
        .bind(&user)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    let (group, shown_last, shown_first) = (text("group_id")?, text("last_name")?, text("first_name")?);
    let folded = |value: Option<String>| value.as_deref().map(fold);
    let plain = |value: Option<String>| value.as_deref().map(digits);
    sqlx::query(
        "INSERT INTO directory VALUES ((SELECT coalesce(max(entry), ?1) + 1 FROM directory WHERE entry BETWEEN ?1 AND ?2), \
         ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )
    .bind(first)
    .bind(last)
    .bind(&user)
    .bind(place)
    .bind(&group)
    .bind(&shown_last)
    .bind(&shown_first)
    .bind(fold(&shown_last))
    .bind(fold(&shown_first))
    .bind(fold(&group))
    .bind(plain(optional("number")?))
    .bind(optional("extension")?)
    .bind(plain(optional("mobile")?))
    .bind(folded(optional("email")?))
    .bind(folded(optional("department")?))
    .bind(folded(optional("title")?))
    .execute(tx.conn())
    .await
    .map_err(fault)?;
    Ok(())
}

/// Takes over the subscribers of a former release that had no directory; once.
pub(crate) async fn fill(shared: &Shared) -> PortResult<()> {
    let done: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM facts WHERE name = ?")
        .bind(FILLED)
        .fetch_optional(shared.db.read())
        .await
        .map_err(fault)?;
    if done.is_some() {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let mut tx = shared.db.begin().await?;
        let rows = sqlx::query("SELECT * FROM users WHERE user_id > ? ORDER BY user_id LIMIT ?")
            .bind(&after)
            .bind(FILL_BATCH)
            .fetch_all(tx.conn())
            .await
            .map_err(fault)?;
        let Some(last) = rows.last() else {
            put_fact(&mut tx, FILLED, "1").await?;
            return tx.commit().await;
        };
        after = last.try_get("user_id").map_err(fault)?;
        for row in &rows {
            put_row(&mut tx, row).await?;
        }
        tx.commit().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_fold_and_numbers_lose_their_dashes() {
        assert_eq!(fold("Muñoz ÖSTLUND ΑΣ"), "muñoz östlund ασ");
        assert_eq!(digits("+1 (555) 010-0123"), "15550100123");
        assert_eq!(digits("*72"), "*72");
    }

    proptest! {
        #[test]
        fn what_is_contained_stays_contained(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}") {
            prop_assert_eq!(fold(&format!("{a}{b}{c}")), format!("{}{}{}", fold(&a), fold(&b), fold(&c)));
        }
    }
}
