//! Mailboxes.

use crate::Shared;
use crate::db::{WriteTx, count, fault, json, unreadable};
use crate::engine::Board;
use crate::events;
use async_trait::async_trait;
use openadp_appserver::{
    Address, CallId, Caller, Event, MediaKind, MessageSummary, NewMessage, PortError, PortResult,
    ServiceKind, UserId, VoiceMessage, VoiceMessages,
};
use sqlx::SqliteConnection;
use std::sync::Arc;
use uuid::Uuid;

const NO_MESSAGE: PortError = PortError::NotFound { what: "message" };
const NO_USER: PortError = PortError::NotFound { what: "user" };

pub(crate) struct Mailboxes {
    pub(crate) shared: Arc<Shared>,
}

type Row = (String, i64, String, i64, bool, bool, bool, String);
const COLUMNS: &str =
    "SELECT message_id, time, caller, duration, is_read, urgent, confidential, media FROM voice_messages ";

fn message(row: Row) -> PortResult<VoiceMessage> {
    let (id, time, caller, duration, read, urgent, confidential, media) = row;
    Ok(VoiceMessage {
        id,
        caller: serde_json::from_str(&caller).map_err(unreadable)?,
        duration,
        time,
        read,
        urgent,
        confidential,
        media: serde_json::from_str(&media).map_err(unreadable)?,
    })
}

/// Everybody has a mailbox from whom the service was not taken.
async fn has_mailbox(conn: &mut SqliteConnection, user: &UserId) -> PortResult<()> {
    let kind = ServiceKind::VoiceMessaging;
    let taken: Option<(bool,)> = sqlx::query_as(
        "SELECT coalesce((SELECT taken FROM services s WHERE s.user_id = u.user_id AND kind = ?), 0) FROM users u \
         WHERE user_id = ?",
    )
    .bind(kind.display_name())
    .bind(user.as_str())
    .fetch_optional(conn)
    .await
    .map_err(fault)?;
    match taken {
        None => Err(NO_USER),
        Some((true,)) => Err(PortError::NotAssigned { service: kind.display_name() }),
        Some((false,)) => Ok(()),
    }
}

async fn summary(conn: &mut SqliteConnection, user: &UserId) -> PortResult<MessageSummary> {
    let (new, old, new_urgent, old_urgent): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT COUNT(*) FILTER (WHERE NOT is_read), COUNT(*) FILTER (WHERE is_read), \
         COUNT(*) FILTER (WHERE urgent AND NOT is_read), COUNT(*) FILTER (WHERE urgent AND is_read) \
         FROM voice_messages WHERE user_id = ?",
    )
    .bind(user.as_str())
    .fetch_one(conn)
    .await
    .map_err(fault)?;
    let small = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(MessageSummary {
        new: small(new),
        old: small(old),
        new_urgent: small(new_urgent),
        old_urgent: small(old_urgent),
    })
}

/// Tells what a mailbox has now, in the transaction that changed it; nothing where that is as it was.
async fn tell(tx: &mut WriteTx, user: &UserId, before: MessageSummary) -> PortResult<()> {
    let now = summary(tx.conn(), user).await?;
    if now == before {
        return Ok(());
    }
    events::append(tx, user, &Event::Messages(now)).await
}

/// How long the sound of a WAV file is, milliseconds: the bytes of its data over the bytes of a second. `None` where it does
/// not say.
fn wav_duration(content: &[u8]) -> Option<i64> {
    let number = |at: usize| {
        let bytes: [u8; 4] = content.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let (mut at, mut rate) = (12_usize, None);
    loop {
        let length = usize::try_from(number(at.checked_add(4)?)?).ok()?;
        let body = at.checked_add(8)?;
        match content.get(at..at + 4)? {
            b"fmt " => rate = number(body.checked_add(8)?).filter(|rate| *rate > 0),
            b"data" => {
                let there = content.len().saturating_sub(body).min(length);
                return i64::try_from(there).ok()?.checked_mul(1_000)?.checked_div(i64::from(rate?));
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = body.checked_add(length)?.checked_add(length % 2)?;
    }
}

/// Sound without any: WAV, µ-law (RFC 7655 names the format's code), 8000 samples a second, at most so many bytes.
pub(crate) fn silence(duration: i64, most: usize) -> Vec<u8> {
    const HEADER: usize = 44;
    const PER_MILLISECOND: i64 = 8;
    let wanted = usize::try_from(duration.max(0).saturating_mul(PER_MILLISECOND)).unwrap_or(usize::MAX);
    let samples = wanted.min(most.saturating_sub(HEADER)).min(usize::from(u16::MAX) * 1_000);
    let length = u32::try_from(samples).unwrap_or_default();
    let mut content = Vec::with_capacity(HEADER + samples);
    content.extend(b"RIFF");
    content.extend((36_u32.saturating_add(length)).to_le_bytes());
    content.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0");
    content.extend(8_000_u32.to_le_bytes());
    content.extend(8_000_u32.to_le_bytes());
    content.extend(b"\x01\0\x08\0data");
    content.extend(length.to_le_bytes());
    content.resize(HEADER + samples, 0xff);
    content
}

/// Leaves a message, in the transaction of whatever brought it; gives its id. The call engine's mailbox ends here too.
pub(crate) async fn deposit(
    tx: &mut WriteTx,
    shared: &Shared,
    user: &UserId,
    new: &NewMessage,
) -> PortResult<String> {
    let limits = shared.mailbox_limits.load();
    if new.content.len() > limits.maximum_message_bytes {
        return Err(PortError::LimitReached { what: "bytes of a message" });
    }
    let media = MediaKind::of(&new.content).ok_or_else(|| PortError::Invalid {
        field: "content",
        reason: "neither WAV, MP3, MOV nor TIFF".to_owned(),
    })?;
    has_mailbox(tx.conn(), user).await?;
    let before = summary(tx.conn(), user).await?;
    if before.new.saturating_add(before.old) >= limits.maximum_messages {
        metrics::counter!("appserver_messages_refused_total").increment(1);
        return Err(PortError::LimitReached { what: "messages" });
    }
    let duration = match media {
        MediaKind::Wav => wav_duration(&new.content).unwrap_or(new.duration),
        MediaKind::Mov | MediaKind::Mp3 | MediaKind::Tif => new.duration,
    };
    let id = Uuid::new_v4().to_string();
    let now = tx.now;
    sqlx::query("INSERT INTO voice_messages VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)")
        .bind(&id)
        .bind(user.as_str())
        .bind(now)
        .bind(json(&new.caller)?)
        .bind(duration.max(0))
        .bind(new.urgent)
        .bind(new.confidential)
        .bind(json(&media)?)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    sqlx::query("INSERT INTO voice_message_media VALUES (?, ?)")
        .bind(&id)
        .bind(&new.content)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
    metrics::counter!("appserver_messages_total").increment(1);
    tell(tx, user, before).await?;
    Ok(id)
}

/// The message of somebody who was in a mailbox. The engine carries no sound: it is as long as the caller stayed, and silent. A
/// full mailbox takes none, and the call ends all the same.
pub(crate) async fn of_call(
    tx: &mut WriteTx,
    shared: &Shared,
    board: &Board,
    mailbox: &UserId,
    from: &CallId,
    duration: i64,
) -> PortResult<()> {
    let Some(from) = board.half(from) else { return Ok(()) };
    let party = board.party(&from.owner);
    let caller = match (party, board.party(mailbox)) {
        (Some(party), _) if party.hides_itself => Caller { private: true, ..Caller::default() },
        (Some(party), owner) => {
            let known = owner.is_some_and(|owner| owner.provider == party.provider);
            let number = party.number.as_ref().or(party.extension.as_ref());
            Caller {
                name: Some(party.name.clone()),
                user_id: Some(party.user_id.clone()).filter(|_| known),
                address: number.map(|number| Address::of(number)),
                private: false,
            }
        }
        (None, _) => Caller { private: true, ..Caller::default() },
    };
    let content = silence(duration, shared.mailbox_limits.load().maximum_message_bytes);
    let message = NewMessage { caller, duration, urgent: false, confidential: false, content };
    match deposit(tx, shared, mailbox, &message).await {
        Ok(_)
        | Err(PortError::LimitReached { .. } | PortError::NotAssigned { .. } | PortError::NotFound { .. }) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[async_trait]
impl VoiceMessages for Mailboxes {
    async fn messages(&self, user: &UserId) -> PortResult<Vec<VoiceMessage>> {
        let mut tx = self.shared.db.snapshot().await?;
        has_mailbox(&mut tx, user).await?;
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE user_id = ? ORDER BY time DESC, message_id LIMIT ?"
        )))
        .bind(user.as_str())
        .bind(i64::from(self.shared.mailbox_limits.load().maximum_messages))
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        rows.into_iter().map(message).collect()
    }

    async fn message(&self, user: &UserId, id: &str) -> PortResult<(VoiceMessage, Vec<u8>)> {
        let mut tx = self.shared.db.snapshot().await?;
        has_mailbox(&mut tx, user).await?;
        let row: Option<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE user_id = ? AND message_id = ?")))
                .bind(user.as_str())
                .bind(id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(fault)?;
        let found = message(row.ok_or(NO_MESSAGE)?)?;
        let (content,): (Vec<u8>,) =
            sqlx::query_as("SELECT content FROM voice_message_media WHERE message_id = ?")
                .bind(id)
                .fetch_one(&mut *tx)
                .await
                .map_err(fault)?;
        Ok((found, content))
    }

    async fn summary(&self, user: &UserId) -> PortResult<(u64, MessageSummary)> {
        let mut tx = self.shared.db.snapshot().await?;
        has_mailbox(&mut tx, user).await?;
        let (position,): (i64,) =
            sqlx::query_as("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'feed'")
                .fetch_one(&mut *tx)
                .await
                .map_err(fault)?;
        Ok((count(position), summary(&mut tx, user).await?))
    }

    async fn mark(&self, user: &UserId, id: Option<&str>, read: bool) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        has_mailbox(tx.conn(), user).await?;
        let before = summary(tx.conn(), user).await?;
        let marked = sqlx::query(
            "UPDATE voice_messages SET is_read = ?1 WHERE user_id = ?2 AND (?3 IS NULL OR message_id = ?3)",
        )
        .bind(read)
        .bind(user.as_str())
        .bind(id)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        if id.is_some() && marked.rows_affected() == 0 {
            return Err(NO_MESSAGE);
        }
        tell(&mut tx, user, before).await?;
        tx.commit().await
    }

    async fn remove(&self, user: &UserId, id: &str) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        has_mailbox(tx.conn(), user).await?;
        let before = summary(tx.conn(), user).await?;
        let gone = sqlx::query("DELETE FROM voice_messages WHERE user_id = ? AND message_id = ?")
            .bind(user.as_str())
            .bind(id)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(NO_MESSAGE);
        }
        tell(&mut tx, user, before).await?;
        tx.commit().await
    }

    async fn deposit(&self, user: &UserId, new: &NewMessage) -> PortResult<String> {
        let mut tx = self.shared.db.begin().await?;
        let id = deposit(&mut tx, &self.shared, user, new).await?;
        tx.commit().await?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn silence_is_a_recording_of_its_length() {
        let content = silence(1_500, 1_000_000);
        assert_eq!((MediaKind::of(&content), wav_duration(&content)), (Some(MediaKind::Wav), Some(1_500)));
        assert_eq!(silence(i64::MAX, 1_000).len(), 1_000);
        assert_eq!(wav_duration(&silence(-5, 1_000)), Some(0));
    }

    proptest! {
        #[test]
        fn no_recording_confuses_the_reader(mut content in prop::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
            if whole {
                let mut start = silence(3, 1_000);
                start.truncate(content.len() % 60);
                start.append(&mut content);
                content = start;
            }
            wav_duration(&content);
        }
    }
}
