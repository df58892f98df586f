//! The tree as text: the commands of the CLI that make it, one setting a line, in an order that stays.

use crate::apply::STARS;
use crate::revision::place;
use crate::{
    Context, Kind, MachineKey, MachineKeyError, Parameter, Registry, Role, Row, Shape, Snapshot, Value,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands before a secret that is sealed for this installation.
const SEALED: &str = "sealed:1:";
/// What stands before a value that no line can hold as it is.
const ENCODED: &str = "base64:";

/// The lines that make a tree: all of it, or the contexts at and below a path.
pub(crate) fn lines(
    registry: &Registry,
    machine_key: &MachineKey,
    tree: &Snapshot,
    below: Option<&str>,
    seal: bool,
) -> Result<Vec<String>, MachineKeyError> {
    let mut lines = vec![
        "# Settings of OpenADP. import makes the contexts that are named here what this says, as one change."
            .to_owned(),
        if seal {
            "# Secrets are sealed: they open only in the installation that this comes from.".to_owned()
        } else {
            format!("# Secrets are left out: {STARS} keeps the one that is there.")
        },
    ];
    let inside = |path: &str| {
        below.is_none_or(|below| {
            path.get(..below.len()).is_some_and(|start| start.eq_ignore_ascii_case(below))
                && matches!(path.as_bytes().get(below.len()), None | Some(b'/'))
        })
    };
    for context in registry.contexts().filter(|context| context.shape != Shape::Actions) {
        let path = context.full_path();
        if inside(&path) {
            lines.push(format!("{path}> reset"));
            for row in tree.rows_of(context) {
                row_lines(&mut lines, machine_key, context, &path, row, seal)?;
            }
        }
    }
    Ok(lines)
}

fn row_lines(
    lines: &mut Vec<String>,
    machine_key: &MachineKey,
    context: &'static Context,
    path: &str,
    row: &Row,
    seal: bool,
) -> Result<(), MachineKeyError> {
    let key: Vec<String> = row.key(context).into_iter().map(str::to_owned).collect();
    let word = |parameter: &Parameter, value: &Value| match value {
        // The content of a file, where the command takes its name.
        Value::Text(text) if matches!(parameter.kind, Kind::File) => Ok(encoded(text)),
        Value::Text(text) => Ok(quoted(text)),
        Value::Secret(secret) if secret.is_empty() => Ok("\"\"".to_owned()),
        Value::Secret(secret) if seal => {
            let place = place(path, &key, parameter.name);
            let sealed = machine_key.seal(&place, secret.expose().as_bytes())?;
            Ok(format!("{SEALED}{}", STANDARD.encode(sealed)))
        }
        Value::Secret(_) => Ok(STARS.to_owned()),
    };
    let mut set = format!("{path}> set");
    if context.shape == Shape::Table {
        let positional = || context.parameters.iter().filter(|parameter| parameter.role != Role::Attribute);
        let given = |parameter: &&Parameter| row.explicit(parameter.name).is_some();
        let count =
            positional().enumerate().filter(|(_, p)| given(p)).last().map_or(0, |(index, _)| index + 1);
        let mut add = format!("{path}> add");
        for parameter in positional().take(count) {
            add.push(' ');
            match row.explicit(parameter.name) {
                Some(value) => add.push_str(&word(parameter, value)?),
                None => add.push_str(&quoted(parameter.default.unwrap_or_default())),
            }
        }
        lines.push(add);
        for value in &key {
            set.push(' ');
            set.push_str(&quoted(value));
        }
    }
    for parameter in context.parameters {
        if context.shape == Shape::Table && parameter.role != Role::Attribute {
            continue;
        }
        if let Some(value) = row.explicit(parameter.name) {
            lines.push(format!("{set} {} {}", parameter.name, word(parameter, value)?));
        }
    }
    Ok(())
}

fn encoded(text: &str) -> String {
    format!("{ENCODED}{}", STANDARD.encode(text))
}

/// A value as a word of the CLI.
fn quoted(text: &str) -> String {
    let is_quote = |letter: char| matches!(letter, '"' | '\'' | '“' | '”');
    let plain = !text.is_empty()
        && !text.chars().any(|letter| letter.is_whitespace() || letter == ';' || is_quote(letter))
        && !text.ends_with("...Done")
        && !text.starts_with('-')
        && text != "=";
    let unfit =
        text.chars().any(char::is_control) || text.starts_with(ENCODED) || (!plain && text.ends_with('\\'));
    if unfit {
        return encoded(text);
    }
    if plain {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for letter in text.chars() {
        if is_quote(letter) && letter != '\'' {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

/// The text of a word that was encoded because no line can hold it.
pub fn decoded(word: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(word.strip_prefix(ENCODED)?).ok()?).ok()
}

/// The secret that was sealed for its place in this installation; `None` for a secret that was typed.
pub(crate) fn unsealed(
    machine_key: &MachineKey,
    context: &'static Context,
    key: &[String],
    parameter: &Parameter,
    word: &str,
) -> Option<Result<String, String>> {
    let sealed = word.strip_prefix(SEALED)?;
    let open = || {
        let bytes = STANDARD.decode(sealed).ok()?;
        let plain = machine_key.open(&place(&context.full_path(), key, parameter.name), &bytes).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    };
    Some(open().ok_or_else(|| "it is sealed by another installation, or for another place".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_need_it_are_quoted_or_encoded() {
        assert_eq!(quoted("plain\\d+"), "plain\\d+");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("a \"b\"; c"), "\"a \\\"b\\\"; c\"");
        assert_eq!(quoted("O'Brien"), "\"O'Brien\"");
        for odd in ["two\nlines", "ends \\", "base64:x", "tab\t"] {
            assert_eq!(decoded(&quoted(odd)).as_deref(), Some(odd));
        }
        assert_eq!(decoded("plain"), None);
    }
}
