//! What values a parameter takes, and how a typed word becomes its canonical text.

use std::net::IpAddr;

/// A kind of value. Parsing gives the canonical text that is stored.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `Choice = {false, true}`.
    Boolean,
    /// A whole number within bounds, both included.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Text of a bounded number of characters, without control characters.
    Text {
        /// Fewest characters.
        min: u32,
        /// Most characters.
        max: u32,
    },
    /// One of the words; matched without regard to case, stored as declared.
    Choice(&'static [&'static str]),
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// A host name or an address.
    Host,
    /// An absolute URL with one of the schemes; empty allowed where the parameter has no default.
    Url(&'static [&'static str]),
    /// A file of the operator; its content is what is stored.
    File,
    /// The path of a file that is too large to be handed over: whoever answers reads it. The CLI makes it a whole path, by the
    /// operator's folder.
    Path,
    /// Text of several lines, at most this many characters in all: typed after the command, up to a line with a single `.`.
    Lines {
        /// Most characters.
        max: u32,
    },
    /// A regular expression.
    Regex,
    /// A secret of at most this many characters: encrypted at rest, shown as stars.
    Secret {
        /// Most characters.
        max: u32,
    },
    /// Names from a table of the declaring crate (cipher suites, say).
    Named(&'static NamedKind),
}

/// A kind whose words come from a table of the declaring crate.
#[derive(Debug)]
pub struct NamedKind {
    /// What the grammar calls it, `IANA name` say.
    pub label: &'static str,
    /// Canonical text of a word, or why it is not one.
    pub parse: fn(&str) -> Result<String, String>,
    /// All words, for completion and help.
    pub words: fn() -> Vec<&'static str>,
}

/// Characters of a refused word that are repeated in the reason.
const SHOWN: usize = 60;

/// A refused word as a reason repeats it: short, and nothing in it that a terminal or a log would obey.
fn shown(word: &str) -> String {
    let mut out = String::new();
    for (index, character) in word.chars().enumerate() {
        if index == SHOWN {
            out.push_str("...");
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

impl Kind {
    /// A whole number from `min` to `max`.
    pub const fn integer(min: i64, max: i64) -> Self {
        Self::Integer { min, max }
    }
    /// Text of `min` to `max` characters.
    pub const fn text(min: u32, max: u32) -> Self {
        Self::Text { min, max }
    }
    /// A secret of at most `max` characters.
    pub const fn secret(max: u32) -> Self {
        Self::Secret { max }
    }

    /// How the grammar of `help` writes the kind, `Integer {1 to 4320}` say.
    pub fn grammar(&self) -> String {
        match self {
            Self::Boolean => "Choice = {false, true}".to_owned(),
            Self::Integer { min, max } => format!("Integer {{{min} to {max}}}"),
            Self::Text { min, max } => format!("String {{{min} to {max} characters}}"),
            Self::Choice(words) => format!("Choice = {{{}}}", words.join(", ")),
            Self::IpAddress => "IPAddress".to_owned(),
            Self::Host => "IPAddress|Host".to_owned(),
            Self::Url(_) => "URL {1 to 2048 characters}".to_owned(),
            Self::File | Self::Path => "File".to_owned(),
            Self::Lines { .. } => "Lines, ended by a line with a single .".to_owned(),
            Self::Regex => "Regex {1 to 256 characters}".to_owned(),
            Self::Secret { max } => format!("Password {{1 to {max} characters}}"),
            Self::Named(named) => named.label.to_owned(),
        }
    }

    /// The words a value can be, where there are few.
    pub fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Boolean => vec!["false", "true"],
            Self::Choice(words) => words.to_vec(),
            Self::Named(named) => (named.words)(),
            Self::Integer { .. }
            | Self::Text { .. }
            | Self::IpAddress
            | Self::Host
            | Self::Url(_)
            | Self::File
            | Self::Path
            | Self::Lines { .. }
            | Self::Regex
            | Self::Secret { .. } => Vec::new(),
        }
    }

    /// The canonical text of a typed word.
    ///
    /// # Errors
    /// Why the word is not a value of this kind; the text never repeats a secret.
    pub fn parse(&self, word: &str) -> Result<String, String> {
        let characters = u32::try_from(word.chars().count()).unwrap_or(u32::MAX);
        match self {
            Self::Boolean => match word.to_ascii_lowercase().as_str() {
                "true" => Ok("true".to_owned()),
                "false" => Ok("false".to_owned()),
                _ => Err(format!("'{}' is neither false nor true", shown(word))),
            },
            Self::Integer { min, max } => {
                let number: i64 =
                    word.parse().map_err(|_| format!("'{}' is not a whole number", shown(word)))?;
                if number < *min || number > *max {
                    return Err(format!("{number} is not between {min} and {max}"));
                }
                Ok(number.to_string())
            }
            Self::Text { min, max } => {
                if characters < *min || characters > *max {
                    return Err(format!("{characters} characters, but {min} to {max} are allowed"));
                }
                if word.chars().any(char::is_control) {
                    return Err("control characters are not allowed".to_owned());
                }
                Ok(word.to_owned())
            }
            Self::Choice(words) => words
                .iter()
                .find(|candidate| candidate.eq_ignore_ascii_case(word))
                .map(|candidate| (*candidate).to_owned())
                .ok_or_else(|| format!("'{}' is none of {}", shown(word), words.join(", "))),
            Self::IpAddress => word
                .parse::<IpAddr>()
                .map(|address| address.to_string())
                .map_err(|_| format!("'{}' is not an IP address", shown(word))),
            Self::Host => {
                let host = word.trim_end_matches('.');
                let good = !host.is_empty()
                    && host.len() <= 255
                    && host.split('.').all(|label| {
                        !label.is_empty()
                            && label.len() <= 63
                            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                    });
                if good || word.parse::<IpAddr>().is_ok() {
                    Ok(host.to_owned())
                } else {
                    Err(format!("'{}' is neither an address nor a host name", shown(word)))
                }
            }
            Self::Url(schemes) => {
                if characters > 2048 {
                    return Err("longer than 2048 characters".to_owned());
                }
                let url = url::Url::parse(word)
                    .map_err(|error| format!("'{}' is not a URL: {error}", shown(word)))?;
                if !schemes.contains(&url.scheme()) {
                    return Err(format!("the scheme must be {}", schemes.join(" or ")));
                }
                if url.host_str().is_none_or(str::is_empty) {
                    return Err("the URL has no host".to_owned());
                }
                if !url.username().is_empty() || url.password().is_some() {
                    return Err("credentials do not belong into a URL".to_owned());
                }
                Ok(word.to_owned())
            }
            Self::File => Ok(word.to_owned()),
            Self::Path => {
                if !(1..=4096).contains(&characters) {
                    return Err(format!("{characters} characters, but 1 to 4096 are allowed"));
                }
                if word.chars().any(char::is_control) {
                    return Err("control characters are not allowed".to_owned());
                }
                Ok(word.to_owned())
            }
            Self::Lines { max } => {
                if characters > *max {
                    return Err(format!("{characters} characters, but {max} are allowed"));
                }
                if word.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
                    return Err("control characters are not allowed".to_owned());
                }
                Ok(word.to_owned())
            }
            Self::Regex => {
                if characters > 256 {
                    return Err("longer than 256 characters".to_owned());
                }
                regex::Regex::new(word).map_err(|error| format!("not a regular expression: {error}"))?;
                Ok(word.to_owned())
            }
            Self::Secret { max } => {
                if characters == 0 || characters > *max {
                    return Err(format!("{characters} characters, but 1 to {max} are allowed"));
                }
                Ok(word.to_owned())
            }
            Self::Named(named) => (named.parse)(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_word_comes_back_short_and_harmless() {
        let number = Kind::integer(1, 9);
        assert_eq!(number.parse("5\u{1b}[31m"), Err("'5\\u{1b}[31m' is not a whole number".to_owned()));
        assert_eq!(number.parse("f\u{fc}nf"), Err("'f\u{fc}nf' is not a whole number".to_owned()));
        let reason = number.parse(&"x".repeat(100_000)).expect_err("no number");
        assert_eq!(reason, format!("'{}...' is not a whole number", "x".repeat(60)));
    }
}
