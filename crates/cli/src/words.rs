//! A typed line: its parts, its words, and the prompt that a guide printed before it. cli.md 2.1.

use openadp_settings::Tree;

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Whether it stood in quotes, and so is never a command, an option or an answer glued to a value.
    pub(crate) quoted: bool,
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unclosed;

/// The parts of a line, split at `;` outside quotes, each as words. Empty parts are left out.
pub(crate) fn parts(line: &str) -> Result<Vec<Vec<Word>>, Unclosed> {
    let mut parts = vec![Vec::new()];
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            continue;
        }
        if letter == ';' {
            parts.push(Vec::new());
            continue;
        }
        let mut word = Word { text: String::new(), quoted: is_quote(letter) };
        if word.quoted {
            loop {
                match letters.next() {
                    None => return Err(Unclosed),
                    Some('\\') if letters.peek().is_some_and(|next| closes(letter, *next)) => {
                        word.text.extend(letters.next());
                    }
                    Some(next) if closes(letter, next) => break,
                    Some(next) => word.text.push(next),
                }
            }
        } else {
            word.text.push(letter);
        }
        // What follows without a blank belongs to the word; quotes in the middle of a word are themselves.
        while let Some(next) = letters.next_if(|next| !next.is_whitespace() && *next != ';') {
            word.text.push(next);
        }
        if let Some(part) = parts.last_mut() {
            part.push(word);
        }
    }
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '“' | '”')
}

fn closes(open: char, letter: char) -> bool {
    if open == '\'' { letter == '\'' } else { matches!(letter, '"' | '“' | '”') }
}

/// A prompt at the beginning of a line, as guides print it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prompt<'a> {
    /// The root it begins with.
    pub(crate) root: Root,
    /// The levels below the root.
    pub(crate) path: Vec<&'a str>,
    /// Whether the path begins at a root.
    pub(crate) absolute: bool,
    /// What was typed after it.
    pub(crate) rest: &'a str,
}

/// Takes a prompt off a line: `ADP_CLI/Interface> get`, `/XSP|ADP_CLI/Interface>get`, `Interface/Http> get`.
pub(crate) fn prompt(line: &str) -> Option<Prompt<'_>> {
    // The star of an open change, pasted with the prompt.
    let line = line.strip_prefix('*').unwrap_or(line);
    let end =
        line.find(|c: char| c == '>' || c == ';' || c.is_whitespace() || is_quote(c)).unwrap_or(line.len());
    let (path, rest) = line.split_at(end);
    let (arrow, rest) = match rest.strip_prefix('>') {
        Some(rest) => (true, rest.trim_start()),
        // A guide may put a blank between the prompt's path and its arrow.
        None => match rest.trim_start().strip_prefix('>') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, rest),
        },
    };
    let slash = path.starts_with('/');
    let levels = path.strip_prefix('/').unwrap_or(path);
    let (first, below) = levels.split_once('/').unwrap_or((levels, ""));
    match root(first) {
        Some(root) => Some(Prompt { root, path: names(below), absolute: true, rest }),
        None if arrow && !names(levels).is_empty() => {
            Some(Prompt { root: Root::Here, path: names(levels), absolute: slash, rest })
        }
        None => None,
    }
}

/// The names of a path.
pub(crate) fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

/// What a root's name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// The tree that one is in: `_CLI` and `CLI` leave it open.
    Here,
    /// This tree.
    Of(Tree),
}

impl Root {
    /// The tree, seen from one of them.
    pub(crate) fn tree(self, here: Tree) -> Tree {
        match self {
            Self::Here => here,
            Self::Of(tree) => tree,
        }
    }
}

/// The root with this name.
pub(crate) fn root(name: &str) -> Option<Root> {
    match name.to_ascii_uppercase().as_str() {
        "AS_CLI" => Some(Root::Of(Tree::As)),
        "ADP_CLI" | "XSP_CLI" | "PS_CLI" | "XSP|ADP_CLI" | "ADP|XSP_CLI" => Some(Root::Of(Tree::Adp)),
        "_CLI" | "CLI" => Some(Root::Here),
        _ => None,
    }
}

/// Drops an answer that a guide glued to the last value (`my_project...Done`); whether there was one.
pub(crate) fn drop_glued_answer(words: &mut Vec<Word>) -> bool {
    let Some(last) = words.last_mut().filter(|word| !word.quoted) else { return false };
    let Some(value) = last.text.strip_suffix("...Done") else { return false };
    if value.is_empty() {
        words.pop();
    } else {
        last.text.truncate(value.len());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(line: &str) -> Vec<Vec<String>> {
        let parts = parts(line).unwrap();
        parts.into_iter().map(|part| part.into_iter().map(|word| word.text).collect()).collect()
    }

    #[test]
    fn words_quotes_and_parts() {
        assert_eq!(texts("set a  \"b c\" 'd;e'"), [["set", "a", "b c", "d;e"]]);
        assert_eq!(texts("sys;sec;black;get").len(), 4);
        assert_eq!(texts(" ; ;; ").len(), 0);
        assert_eq!(texts("add x “Webex X”"), [["add", "x", "Webex X"]]);
        assert_eq!(texts(r#"set p "^a\.(b+)\"$""#), [["set", "p", "^a\\.(b+)\"$"]]);
        assert_eq!(texts("set n O'Brien"), [["set", "n", "O'Brien"]]);
        assert_eq!(texts("set n \"\""), [["set", "n", ""]]);
        assert_eq!(parts("set n \"open"), Err(Unclosed));
    }

    #[test]
    fn prompts_of_guides() {
        let path = |line| prompt(line).map(|p| (p.root, p.path.join("/"), p.rest.to_owned()));
        let adp = |path: &str, rest: &str| Some((Root::Of(Tree::Adp), path.to_owned(), rest.to_owned()));
        assert_eq!(path("ADP_CLI/A/B> get x"), adp("A/B", "get x"));
        assert_eq!(path("/XSP|ADP_CLI/A/B>get"), adp("A/B", "get"));
        assert_eq!(path("XSP_CLI> help"), adp("", "help"));
        assert_eq!(path("ADP_CLI/A/B get"), adp("A/B", " get"));
        assert_eq!(path("AS_CLI"), Some((Root::Of(Tree::As), String::new(), String::new())));
        assert_eq!(path("_CLI/A> get"), Some((Root::Here, "A".to_owned(), "get".to_owned())));
        assert_eq!(path("A/B> get"), Some((Root::Here, "A/B".to_owned(), "get".to_owned())));
        assert_eq!(path("A > get"), Some((Root::Here, "A".to_owned(), "get".to_owned())));
        assert_eq!(path("set a >"), None);
        assert_eq!(path("get"), None);
        assert_eq!(path("> get"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "\\PC*") {
            drop(parts(&line));
            drop(prompt(&line));
        }
        #[test]
        fn what_is_quoted_comes_back(text in "[^\"“”\\\\]*") {
            let parts = parts(&format!("x \"{text}\"")).unwrap();
            prop_assert_eq!(&parts[0][1].text, &text);
        }
    }
}
