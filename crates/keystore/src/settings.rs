//! The commands of `ADP_CLI/Applications/AuthenticationService/KeyManagement`. cli.md 5.5, design.md "Keys and tokens"
//!
//! They run in a host or in the CLI itself; either way every process of the data directory follows within half a second.

use crate::{
    ImportMode, KeyInfo, KeyState, KeyStore, KeyStoreError, KeyType, Peer, PeerAccess, Rotation, file,
    read_peers, rotation,
};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Module, Parameter, Problem, Problems, Rights,
    Settings, Tree, context,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::format_description::well_known::Rfc3339;

/// File name of an export where none is given.
const EXPORT_NAME: &str = "authService.keys";
/// The folder that guides name; it means the folder `tmp` of the data directory.
const GUIDE_FOLDER: &str = "/var/broadworks/tmp/";
const PASSPHRASE: Kind = Kind::secret(256);

/// What `keyType` takes: a kind, or the one that `Rotation` sets.
const KEY_TYPES: [&str; 8] = {
    let mut words = ["configured"; 8];
    let mut at = 0;
    while at < KeyType::WORDS.len() {
        words[at + 1] = KeyType::WORDS[at];
        at += 1;
    }
    words
};
const KEY_TYPE: Parameter = Parameter::new("keyType", Kind::Choice(&KEY_TYPES))
    .default("configured")
    .mandatory()
    .help("Kind of the new key: RSA signs with RS256, RSA-PSS with PS256, P-256 with ES256; configured is what Rotation sets.");
const FORCE: Parameter = Parameter::new("force", Kind::Boolean)
    .default("false")
    .help("Even if a peer is not known to hold the key: it will refuse what is signed from now on.");
const KID: Parameter =
    Parameter::new("kid", Kind::text(1, 64)).mandatory().help("The key's id, as get shows it.");

const ACTIONS: &[Action] = &[
    Action { name: "get", help: "Lists the keys of the ring.", arguments: &[], run: get },
    Action {
        name: "exportKeys",
        help: "Writes all keys to a file, encrypted under a passphrase, and prints the file's name. Makes the first key if \
               there is none. Without a passphrase one is made and printed once.",
        arguments: &[
            Parameter::new("file", Kind::text(1, 255))
                .default(EXPORT_NAME)
                .mandatory()
                .help("Name of the file below the folder tmp of the data directory; authService.keys where none is given."),
            Parameter::new("passphrase", PASSPHRASE).help("Passphrase that the file is encrypted under."),
        ],
        run: export_keys,
    },
    Action {
        name: "importKeys",
        help: "Takes over exported keys. A file made by this installation needs no passphrase. Delete the file afterwards.",
        arguments: &[
            Parameter::new("file", Kind::File).mandatory().help("An exported file."),
            Parameter::new("mode", Kind::Choice(&["replace", "merge"]))
                .default("replace")
                .help("replace: the ring becomes what the file holds; merge: new keys are added and only verify."),
            Parameter::new("passphrase", PASSPHRASE).help("Passphrase that the file was encrypted under."),
        ],
        run: import_keys,
    },
    Action {
        name: "generateKey",
        help: "Makes a pending key: it verifies, and signs once it is promoted.",
        arguments: &[KEY_TYPE],
        run: generate_key,
    },
    Action {
        name: "promoteKey",
        help: "Lets a pending key sign; the former one verifies until its last token has expired. Refused while one of the nodes \
               below Peers is not known to hold the key.",
        arguments: &[KID, FORCE],
        run: promote_key,
    },
    Action {
        name: "revokeKey",
        help: "Erases a key at once: all tokens that it signed are void. The nodes below Peers follow when they look next.",
        arguments: &[KID],
        run: revoke_key,
    },
    Action {
        name: "rotate",
        help: "Makes a key and lets it sign at once. On several nodes use generateKey, then promoteKey; rotate is refused where \
               there are Peers.",
        arguments: &[KEY_TYPE],
        run: rotate,
    },
    Action {
        name: "getPeers",
        help: "Lists the nodes below Peers: when each answered last, how many of our keys it holds, and what was wrong.",
        arguments: &[],
        run: get_peers,
    },
];

context! {
    /// The keys that sign long-lived tokens: list, rotate, revoke, carry to other nodes.
    pub struct KeyManagement = Context::actions_only(
        Tree::Adp,
        "Applications/AuthenticationService/KeyManagement",
    )
    .aliases(&["Applications/AuthService/KeyManagement"])
    .needs(Rights::Administer)
    .action_needs(&[("get", Rights::View)])
    .actions(ACTIONS) => {}
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("keystore")
    .contexts(&[KeyManagement::CONTEXT, Rotation::CONTEXT, PeerAccess::CONTEXT, Peer::CONTEXT])
    .checks(&[rotation::check]);

type Done = Result<ActionOutput, Problems>;

fn open(context: &ActionContext<'_>) -> Result<Arc<KeyStore>, Problems> {
    let now = context.now;
    KeyStore::open_with_clock(context.data_dir, context.machine_key.clone(), Arc::new(move || now))
        .map_err(|error| refused(context, &error))
}

fn refused(context: &ActionContext<'_>, error: &KeyStoreError) -> Problems {
    let problem = Problem::new(context.context.full_path(), error.to_string());
    let hint = match error {
        KeyStoreError::UnknownKey { .. } | KeyStoreError::WrongState { .. } => Some("get lists the keys"),
        KeyStoreError::Import { reason } if reason.contains("passphrase") => {
            Some("importKeys <file> passphrase <passphrase>")
        }
        _ => None,
    };
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
    .into()
}

fn argument(arguments: &[Option<String>], index: usize) -> Option<&str> {
    arguments.get(index).and_then(Option::as_deref)
}

fn configured(context: &ActionContext<'_>) -> KeyType {
    KeyType::from_word(&context.snapshot.get::<Rotation>().key_type).unwrap_or_default()
}

fn key_type(context: &ActionContext<'_>, arguments: &[Option<String>]) -> KeyType {
    argument(arguments, 0).and_then(KeyType::from_word).unwrap_or_else(|| configured(context))
}

fn peers(context: &ActionContext<'_>) -> Vec<String> {
    context.snapshot.rows::<Peer>().into_iter().map(|peer| peer.url).collect()
}

fn lines(lines: Vec<String>) -> ActionOutput {
    ActionOutput { lines, ..ActionOutput::default() }
}

fn get(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    Ok(ActionOutput { lines: table(&open(context)?.keys()), query: true, ..ActionOutput::default() })
}

fn get_peers(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let seen = read_peers(context.data_dir);
    let ours: Vec<String> = open(context)?
        .keys()
        .into_iter()
        .filter(|key| key.state != KeyState::Retired)
        .map(|key| key.kid)
        .collect();
    let rows: Vec<[String; 4]> = peers(context)
        .into_iter()
        .map(|url| {
            let view = seen.get(&url).cloned().unwrap_or_default();
            let held = ours.iter().filter(|kid| view.holds.contains(kid)).count();
            let time = time::OffsetDateTime::from_unix_timestamp(view.seen).ok();
            let when = if view.seen == 0 { None } else { time.and_then(|time| time.format(&Rfc3339).ok()) };
            [url, when.unwrap_or_else(|| "never".to_owned()), format!("{held} of {}", ours.len()), view.error]
        })
        .collect();
    let lines = aligned(["URL", "Last Answer", "Keys Held", "Error"], &rows);
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

/// The table of keys.
fn table(keys: &[KeyInfo]) -> Vec<String> {
    let header = ["Key Id", "State", "Created", "Size", "Algorithm", "Verifies Until"];
    let date = |time: time::OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    let rows: Vec<[String; 6]> = keys
        .iter()
        .map(|key| {
            [
                key.kid.clone(),
                key.state.name().to_owned(),
                date(key.created),
                key.bits.to_string(),
                key.algorithm.name().to_owned(),
                key.until.map(date).unwrap_or_default(),
            ]
        })
        .collect();
    aligned(header, &rows)
}

/// A table: header, a line of `=`, one line a row, then the count, as `get` of any table.
fn aligned<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            rows.iter().map(|row| row[column].len()).chain([header[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[&str]| -> String {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        format!("  {}", padded.join("  ")).trim_end().to_owned()
    };
    let head = line(&header);
    let rule = "=".repeat(head.len());
    let mut lines = vec![head, rule];
    lines.extend(rows.iter().map(|row| line(&row.each_ref().map(String::as_str))));
    lines.push(String::new());
    lines.push(match rows.len() {
        1 => "1 entry found.".to_owned(),
        count => format!("{count} entries found."),
    });
    lines
}

fn export_keys(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let refuse = |error: &KeyStoreError| refused(context, error);
    let path = export_path(context.data_dir, argument(arguments, 0)).map_err(|reason| {
        Problem::new(context.context.full_path(), reason)
            .parameter("file")
            .hint(format!("give a file name, or one below {GUIDE_FOLDER}"))
    })?;
    let store = open(context)?;
    first_key(context, &store)?;
    let made = match argument(arguments, 1) {
        Some(_) => None,
        None => Some(KeyStore::generate_passphrase().map_err(|error| refuse(&error))?),
    };
    let passphrase = argument(arguments, 1).or(made.as_ref().map(|text| text.as_str())).unwrap_or_default();
    let text = store.export(passphrase).map_err(|error| refuse(&error))?;
    if let Some(folder) = path.parent() {
        file::make_folder(folder).map_err(|error| refuse(&error))?;
    }
    file::replace(&path, text.as_bytes()).map_err(|error| refuse(&error))?;
    let mut told = vec![path.display().to_string()];
    if let Some(passphrase) = made {
        told.push(format!("Passphrase (shown this once): {}", passphrase.as_str()));
    }
    Ok(lines(told))
}

/// Makes the first key, if there is none; with peers only their agreement does, which the AuthenticationService asks for.
fn first_key(context: &ActionContext<'_>, store: &KeyStore) -> Result<(), Problems> {
    if store.active_if_any().is_none() && !peers(context).is_empty() {
        let problem =
            Problem::new(context.context.full_path(), "there is no key yet, and a peer may have one");
        return Err(problem.hint("the first token request gets or makes it; or importKeys").into());
    }
    store.active_or(configured(context)).map(drop).map_err(|error| refused(context, &error))
}

/// Where an export goes: always a plain file below the folder `tmp` of the data directory, whoever runs the command.
fn export_path(data_dir: &Path, given: Option<&str>) -> Result<PathBuf, String> {
    let folder = data_dir.join("tmp");
    let own = format!("{}/", folder.display());
    let given = given.unwrap_or(EXPORT_NAME);
    let name = given.strip_prefix(GUIDE_FOLDER).or_else(|| given.strip_prefix(&own)).unwrap_or(given);
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(format!("keys are exported to plain files in {} only", folder.display()));
    }
    Ok(folder.join(name))
}

fn import_keys(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let mode = match argument(arguments, 1) {
        Some("merge") => ImportMode::Merge,
        _ => ImportMode::Replace,
    };
    let imported = open(context)?
        .import(argument(arguments, 0).unwrap_or_default(), mode, argument(arguments, 2))
        .map_err(|error| refused(context, &error))?;
    if !imported.changed {
        return Ok(lines(vec!["The ring holds these keys already; nothing changed.".to_owned()]));
    }
    let mut told: Vec<String> = imported.added.iter().map(|kid| format!("added {kid}")).collect();
    told.extend(imported.removed.iter().map(|kid| format!("removed {kid}")));
    told.push("Delete the imported file now.".to_owned());
    Ok(lines(told))
}

fn generate_key(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let kid =
        open(context)?.generate(key_type(context, arguments)).map_err(|error| refused(context, &error))?;
    Ok(lines(vec![kid]))
}

fn promote_key(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let kid = argument(arguments, 0).unwrap_or_default();
    if argument(arguments, 1) != Some("true") {
        let (seen, now) = (read_peers(context.data_dir), context.now.unix_timestamp());
        let missing = |url: &String| !seen.get(url).is_some_and(|view| view.confirms(kid, now));
        if let Some(url) = peers(context).into_iter().find(missing) {
            let why = match seen.get(&url) {
                None => "it was not asked yet",
                Some(view) if view.error.is_empty() => "it has not taken it over yet",
                Some(view) => &view.error,
            };
            let reason = format!("{url} is not known to hold the key: {why}");
            let problem = Problem::new(context.context.full_path(), reason);
            return Err(problem.hint("getPeers shows what each holds; force true promotes anyway").into());
        }
    }
    open(context)?.promote(kid).map_err(|error| refused(context, &error))?;
    Ok(ActionOutput::default())
}

fn revoke_key(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let kid = argument(arguments, 0).unwrap_or_default();
    open(context)?.revoke(kid).map_err(|error| refused(context, &error))?;
    Ok(ActionOutput::default())
}

fn rotate(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    if !peers(context).is_empty() {
        let problem =
            Problem::new(context.context.full_path(), "the peers do not hold a key that is made just now");
        return Err(problem.hint("generateKey, then promoteKey").into());
    }
    let kid =
        open(context)?.rotate(key_type(context, arguments)).map_err(|error| refused(context, &error))?;
    Ok(lines(vec![kid]))
}
