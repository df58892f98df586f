//! `AS_CLI/SubscriberMgmt/VoiceMessage`: what lies in mailboxes, and leaving a message without a call.

use super::table::table;
use super::{Done, argument, needed, query, with_store};
use crate::messages::{self, Mailboxes};
use openadp_appserver::{Address, Caller, NewMessage, UserId, VoiceMessages as _};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Tree, context,
};
use std::io::Read as _;
use time::format_description::well_known::Rfc3339;

/// Most of a file that is looked at; the limit of the application server is lower.
const MOST: u64 = 16 * 1024 * 1024;

const USER: Parameter =
    Parameter::new("userId", Kind::text(1, 161)).mandatory().help("User id with its domain.");

context! {
    /// Voice messages of a user: to see what is there, and to leave one without a call.
    pub struct VoiceMail = Context::actions_only(Tree::As, "SubscriberMgmt/VoiceMessage").actions(&[
        Action { name: "get", help: "Lists the messages, newest first.", arguments: &[USER], run: get },
        Action {
            name: "add",
            help: "Leaves a message. Its recording is a file (WAV, MP3, MOV or TIFF), or silence of the given length.",
            arguments: &[
                USER,
                Parameter::new("callerName", Kind::text(0, 161)).help("Name of the caller."),
                Parameter::new("callerNumber", Kind::text(0, 161)).help("Number of the caller; without one the caller is private."),
                Parameter::new("file", Kind::Path).help("The recording, read by whoever runs the command."),
                Parameter::new("lengthInSeconds", Kind::integer(0, 3_600)).default("5")
                    .help("Length, where no file says it."),
                Parameter::new("urgent", Kind::Boolean).default("false").help("Whether it is urgent."),
                Parameter::new("confidential", Kind::Boolean).default("false").help("Whether it may not be passed on."),
            ],
            run: add,
        },
        Action {
            name: "delete",
            help: "Deletes a message.",
            arguments: &[
                USER,
                Parameter::new("messageId", Kind::text(1, 80)).mandatory().help("Its id, as get shows it."),
            ],
            run: delete,
        },
    ]) => {}
}

fn get(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let user = UserId::new(&needed(context, arguments, 0)?);
    let found = with_store(context, async move |shared| Mailboxes { shared }.messages(&user).await)?;
    let rows: Vec<_> = found
        .into_iter()
        .map(|message| {
            let flags =
                [(message.read, "read"), (message.urgent, "urgent"), (message.confidential, "confidential")];
            let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
            let caller = message.caller.address.map(|address| address.value).unwrap_or_default();
            [
                message.id,
                time::OffsetDateTime::from_unix_timestamp(message.time.div_euclid(1_000))
                    .ok()
                    .and_then(|at| at.format(&Rfc3339).ok())
                    .unwrap_or_default(),
                if message.caller.private { "private".to_owned() } else { caller },
                format!("{:?}", message.media).to_uppercase(),
                message.duration.div_euclid(1_000).to_string(),
                flags.join(", "),
            ]
        })
        .collect();
    let headers = ["Message Id", "Time", "Caller", "Media", "Seconds", "Flags"];
    Ok(query(table(headers, [true, true, true, true, false, true], &rows)))
}

/// The recording of a file.
fn recording(context: &ActionContext<'_>, path: &str) -> Result<Vec<u8>, Problems> {
    let mut content = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut content)).map_err(
        |error| {
            Problem::new(context.context.full_path(), format!("cannot be read: {error}")).parameter("file")
        },
    )?;
    Ok(content)
}

fn add(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let user = UserId::new(&needed(context, arguments, 0)?);
    let text = |index: usize| argument(arguments, index).filter(|text| !text.is_empty());
    let content = text(3).map(|path| recording(context, path)).transpose()?;
    let seconds: i64 = text(4).and_then(|text| text.parse().ok()).unwrap_or(5);
    let caller = Caller {
        name: text(1).map(str::to_owned),
        user_id: None,
        address: text(2).map(Address::of),
        private: text(2).is_none(),
    };
    let (urgent, confidential) = (text(5) == Some("true"), text(6) == Some("true"));
    let id = with_store(context, async move |shared| {
        let duration = seconds.saturating_mul(1_000);
        let most = shared.mailbox_limits.load().maximum_message_bytes;
        let content = content.unwrap_or_else(|| messages::silence(duration, most));
        let message = NewMessage { caller, duration, urgent, confidential, content };
        Mailboxes { shared }.deposit(&user, &message).await
    })?;
    Ok(ActionOutput { lines: vec![format!("Message: {id}")], ..ActionOutput::default() })
}

fn delete(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (user, id) = (UserId::new(&needed(context, arguments, 0)?), needed(context, arguments, 1)?);
    with_store(context, async move |shared| Mailboxes { shared }.remove(&user, &id).await)?;
    Ok(ActionOutput::default())
}
