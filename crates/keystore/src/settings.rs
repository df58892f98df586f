//! `Applications/AuthenticationService/KeyManagement`: what an operator does with the ring. cli.md 5.5, authservice.md 9.

use crate::key::KeySpec;
use crate::store::{ImportMode, KeyStore, KeyStoreError, random_name, write_atomically};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Apply, Context, Kind, Module, Parameter, Problem, Problems,
    Settings, Tree, context,
};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use time::format_description::well_known::Rfc3339;

/// Everything this crate declares.
pub const MODULE: Module =
    Module::new("keystore").contexts(&[KeyManagement::CONTEXT, KeyGeneration::CONTEXT]);

const KEY_TYPE: Parameter = Parameter::new("keyType", Kind::Choice(KeySpec::NAMES))
    .help("Type and size of the key; without it, as KeyManagement/GeneralSettings says.");
const KEY_ID: Parameter = Parameter::new("keyId", Kind::text(43, 43))
    .aliases(&["kid"])
    .mandatory()
    .help("The key's id, as get shows it.");

context! {
    /// The keys that sign and verify long-lived tokens.
    pub struct KeyManagement = Context::actions_only(Tree::Adp, "Applications/AuthenticationService/KeyManagement")
        .aliases(&["Applications/AuthService/KeyManagement"])
        .actions(&[
            Action { name: "get", help: "Lists the keys.", arguments: &[], run: get },
            Action {
                name: "exportKeys",
                help: "Writes all keys, encrypted under a passphrase, to tmp/authService.keys below the data directory. \
                       Without a passphrase one is made and printed once.",
                arguments: &[
                    Parameter::new("passphrase", Kind::secret(1024)).help("Passphrase of 8 characters or more."),
                ],
                run: export_keys,
            },
            Action {
                name: "importKeys",
                help: "Takes exported keys in. Without a passphrase only those of this installation.",
                arguments: &[
                    Parameter::new("file", Kind::File).mandatory().help("File that exportKeys wrote."),
                    Parameter::new("mode", Kind::Choice(&["replace", "merge"]))
                        .default("replace")
                        .help("Take the place of the keys that are here, or be added to verify only."),
                    Parameter::new("passphrase", Kind::secret(1024)).help("Passphrase of the export."),
                ],
                run: import_keys,
            },
            Action {
                name: "generateKey",
                help: "Makes a key that verifies and waits to be promoted.",
                arguments: &[KEY_TYPE],
                run: |context, arguments| {
                    let store = open(context)?;
                    let made = store.generate(spec(context, arguments), context.now).map_err(|e| refuse(context, &e))?;
                    Ok(line(format!("keyId = {}", made.kid)))
                },
            },
            Action {
                name: "promoteKey",
                help: "Lets a pending key sign; the one that signed so far goes on verifying.",
                arguments: &[KEY_ID],
                run: |context, arguments| {
                    open(context)?.promote(word(arguments, 0), context.now).map_err(|e| refuse(context, &e))?;
                    Ok(ActionOutput::default())
                },
            },
            Action {
                name: "rotate",
                help: "Makes a key and lets it sign at once; the one that signed so far goes on verifying.",
                arguments: &[KEY_TYPE],
                run: |context, arguments| {
                    let store = open(context)?;
                    let made = store.rotate(spec(context, arguments), context.now).map_err(|e| refuse(context, &e))?;
                    Ok(line(format!("keyId = {}", made.kid)))
                },
            },
            Action {
                name: "revokeKey",
                help: "Erases a key at once: every token that it signed is void.",
                arguments: &[KEY_ID],
                run: |context, arguments| {
                    open(context)?.revoke(word(arguments, 0)).map_err(|e| refuse(context, &e))?;
                    Ok(ActionOutput::default())
                },
            },
        ]) =>
    {
    }
}

context! {
    /// What kind of key is made when none is asked for.
    pub struct KeyGeneration =
        Context::single(Tree::Adp, "Applications/AuthenticationService/KeyManagement/GeneralSettings")
            .aliases(&["Applications/AuthService/KeyManagement/GeneralSettings"]) =>
    {
        /// Type and size of new keys.
        pub key_type: String = Parameter::new("keyType", Kind::Choice(KeySpec::NAMES))
            .default("RSA-2048")
            .apply(Apply::Live);
    }
}

impl KeyGeneration {
    /// What a new key is to be.
    pub fn spec(&self) -> KeySpec {
        KeySpec::from_name(&self.key_type)
    }
}

fn open(context: &ActionContext<'_>) -> Result<Arc<KeyStore>, Problems> {
    KeyStore::open(context.data_dir, context.machine_key.clone()).map_err(|error| refuse(context, &error))
}

fn refuse(context: &ActionContext<'_>, error: &KeyStoreError) -> Problems {
    Problem::new(context.context.full_path(), error.to_string()).into()
}

fn word(arguments: &[Option<String>], index: usize) -> &str {
    arguments.get(index).and_then(Option::as_deref).unwrap_or_default()
}

fn spec(context: &ActionContext<'_>, arguments: &[Option<String>]) -> KeySpec {
    match arguments.first().and_then(Option::as_deref) {
        Some(name) => KeySpec::from_name(name),
        None => context.snapshot.get::<KeyGeneration>().spec(),
    }
}

fn line(text: String) -> ActionOutput {
    ActionOutput { lines: vec![text], ..ActionOutput::default() }
}

fn get(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    const HEADER: [&str; 6] = ["Key Id", "Algorithm", "Size", "State", "Created", "Retires"];
    let stamp = |time: time::OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    let rows: Vec<[String; 6]> = open(context)?
        .keys()
        .into_iter()
        .map(|key| {
            let state = if key.can_sign {
                key.state.name().to_owned()
            } else {
                format!("{} (verify only)", key.state.name())
            };
            let retires = key.retires.map(stamp).unwrap_or_default();
            [key.kid, key.algorithm.to_owned(), key.bits.to_string(), state, stamp(key.created), retires]
        })
        .collect();
    // The geometry of cli.md 3.2: two blanks and the column's width, right-aligned.
    let widths: Vec<usize> = HEADER
        .iter()
        .enumerate()
        .map(|(column, header)| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(header.len()))
        .collect();
    let write = |cells: &[&str]| -> String {
        let text: String =
            cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}")).collect();
        text.trim_end().to_owned()
    };
    let mut lines = vec![write(&HEADER), "=".repeat(widths.iter().map(|width| width + 2).sum())];
    for row in &rows {
        lines.push(write(&row.each_ref().map(String::as_str)));
    }
    lines.push(String::new());
    lines.push(match rows.len() {
        0 => "0 entry found.".to_owned(),
        1 => "1 entry found.".to_owned(),
        count => format!("{count} entries found."),
    });
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn export_keys(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let store = open(context)?;
    let mut lines = Vec::new();
    let passphrase = match arguments.first().and_then(Option::as_deref) {
        Some(passphrase) => zeroize::Zeroizing::new(passphrase.to_owned()),
        None => {
            let made = zeroize::Zeroizing::new(random_name().map_err(|e| refuse(context, &e))?);
            lines.push(format!("passphrase = {}", *made));
            lines.push("It is shown only now; importing on this installation needs none.".to_owned());
            made
        }
    };
    store
        .active_or(context.snapshot.get::<KeyGeneration>().spec(), context.now)
        .map_err(|error| refuse(context, &error))?;
    let text = store.export(&passphrase, context.now).map_err(|error| refuse(context, &error))?;
    let dir = context.data_dir.join("tmp");
    let path = dir.join("authService.keys");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|source| refuse(context, &KeyStoreError::Io { path: dir.clone(), source }))?;
    write_atomically(&path, text.as_bytes()).map_err(|error| refuse(context, &error))?;
    lines.insert(0, format!("Keys exported to {}", path.display()));
    tracing::info!(target: "audit", set = store.set_id(), "keys exported");
    Ok(ActionOutput { lines, ..ActionOutput::default() })
}

fn import_keys(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let mode = if word(arguments, 1) == "merge" { ImportMode::Merge } else { ImportMode::Replace };
    let passphrase = arguments.get(2).and_then(Option::as_deref);
    let report = open(context)?
        .import(word(arguments, 0), passphrase, mode, context.now)
        .map_err(|error| refuse(context, &error))?;
    let mut lines = Vec::new();
    if report.changed {
        lines.push(format!(
            "key set before = {}, now = {}, {} keys added",
            report.old_set, report.new_set, report.added
        ));
    } else {
        lines.push(format!("key set {} was here already; nothing changed", report.new_set));
    }
    for kid in &report.refused {
        lines.push(format!("left out, since it was erased here: {kid}"));
    }
    tracing::info!(target: "audit", set = report.new_set, changed = report.changed, "keys imported");
    Ok(ActionOutput { lines, ..ActionOutput::default() })
}
