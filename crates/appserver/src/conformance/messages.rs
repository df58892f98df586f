//! Voice messages.

use super::{ALICE, BO, EVE, Fixture, good, invalid, nobody, not_found, told};
use crate::{Address, Caller, MediaKind, MessageSummary, NewMessage, PortError, PortResult, ServiceKind};
use std::time::Duration;

/// One second of silence: WAV, 8000 samples a second of one byte each.
fn wav(samples: u32) -> Vec<u8> {
    let mut content = Vec::from(&b"RIFF"[..]);
    content.extend((36 + samples).to_le_bytes());
    content.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0");
    content.extend(8_000_u32.to_le_bytes());
    content.extend(8_000_u32.to_le_bytes());
    content.extend(b"\x01\0\x08\0data");
    content.extend(samples.to_le_bytes());
    content.resize(44 + usize::try_from(samples).unwrap_or_default(), 0xff);
    content
}

fn message(urgent: bool, content: Vec<u8>) -> NewMessage {
    let caller = Caller {
        name: Some("Bo Lindqvist".to_owned()),
        user_id: Some(BO.id()),
        address: Some(Address::of(BO.number)),
        private: false,
    };
    NewMessage { caller, duration: 0, urgent, confidential: urgent, content }
}

/// A mailbox, its bounds and what is told of it.
pub async fn messages(fixture: &dyn Fixture) {
    let (one, two) = (fixture.ports(), fixture.second());
    let (here, there, user) = (&one.messages, &two.messages, ALICE.id());
    let begin = good(one.feed.position().await);
    assert!(good(here.messages(&user).await).is_empty());
    assert_eq!(good(here.summary(&user).await).1, MessageSummary::default());
    good(here.mark(&user, None, true).await);

    let sound = wav(4_000);
    let first = good(there.deposit(&user, &message(false, sound.clone())).await);
    fixture.advance(Duration::from_secs(1)).await;
    let second = good(there.deposit(&user, &message(true, b"ID3 an MP3".to_vec())).await);
    let list = good(here.messages(&user).await);
    let ids: Vec<&str> = list.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, [&second, &first], "newest first");
    assert_eq!((list[0].media, list[1].media), (MediaKind::Mp3, MediaKind::Wav));
    assert_eq!(list[1].duration, 500, "as its header says");
    assert!(list[0].urgent && list[0].confidential && !list[1].urgent && !list[1].read);
    let (read, content) = good(here.message(&user, &first).await);
    assert_eq!((&read, content), (&list[1], sound));
    assert_eq!(read.caller.user_id, Some(BO.id()));

    good(here.mark(&user, Some(&second), true).await);
    good(there.mark(&user, Some(&second), true).await);
    let summary = MessageSummary { new: 1, old: 1, new_urgent: 0, old_urgent: 1 };
    let (position, found) = good(there.summary(&user).await);
    assert_eq!(found, summary);
    assert!(position > begin);
    good(here.mark(&user, None, true).await);
    good(here.mark(&user, None, false).await);
    assert!(good(there.messages(&user).await).iter().all(|message| !message.read));
    good(here.remove(&user, &first).await);
    not_found(here.remove(&user, &first).await);
    not_found(here.message(&user, &first).await);
    not_found(here.mark(&user, Some(&first), true).await);
    assert_eq!(
        told(&two, &ALICE, begin).await,
        ["Messages 1 0", "Messages 2 0", "Messages 1 1", "Messages 0 2", "Messages 2 0", "Messages 1 0"],
        "what changes nothing tells nobody"
    );

    for other in [BO.id(), EVE.id()] {
        not_found(here.message(&other, &second).await);
        not_found(here.mark(&other, Some(&second), true).await);
        not_found(here.remove(&other, &second).await);
    }
    not_found(here.messages(&nobody()).await);
    not_found(here.summary(&nobody()).await);
    not_found(here.mark(&nobody(), None, true).await);
    not_found(here.deposit(&nobody(), &message(false, wav(1))).await);
    invalid(here.deposit(&user, &message(false, b"<script>".to_vec())).await);
    let size = u32::try_from(fixture.bytes_per_message()).expect("small");
    let limit = |result| assert!(matches!(result, Err(PortError::LimitReached { .. })), "{result:?}");
    limit(here.deposit(&user, &message(false, wav(size))).await);
    for n in 1..fixture.messages_per_mailbox() {
        assert!(here.deposit(&user, &message(false, wav(1))).await.is_ok(), "message {n}");
    }
    limit(here.deposit(&user, &message(false, wav(1))).await);
    good(here.remove(&user, &second).await);
    good(here.deposit(&user, &message(false, wav(1))).await);

    fixture.unassign(&user, ServiceKind::VoiceMessaging).await;
    not_assigned(here.messages(&user).await);
    not_assigned(here.message(&user, &second).await);
    not_assigned(here.mark(&user, None, true).await);
    not_assigned(here.remove(&user, &second).await);
    not_assigned(there.summary(&user).await);
    not_assigned(there.deposit(&user, &message(false, wav(1))).await);
}

#[track_caller]
fn not_assigned<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::NotAssigned { .. })), "not assigned expected: {result:?}");
}
