//! What the settings of a service may be: members that are declared once, and the values that are checked against them.

use crate::{PortError, PortResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most characters of a number or address; SIP addresses are the longest.
const MAX_NUMBER: usize = 161;

/// One member of a service's settings. Its name is the one on the wire, and the order of members is the wire's (xsi.md 3.3).
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: MemberKind,
}

/// What a member holds.
#[derive(Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// Yes or no, and what it is at first.
    Flag {
        /// At first.
        default: bool,
    },
    /// A number in a range.
    Integer {
        /// Smallest of the range.
        least: u32,
        /// Largest of the range.
        most: u32,
        /// Zero, where it is allowed beside the range.
        zero: bool,
        /// At first.
        default: u32,
    },
    /// A phone number, an extension or a SIP address; may be cleared.
    Number,
    /// Text of the user; may be cleared.
    Text {
        /// Most characters.
        most: usize,
    },
    /// One of some words.
    Word {
        /// The words, without blanks around them.
        words: &'static [&'static str],
    },
    /// Entries that are told apart by one of their members.
    Entries {
        /// What tells entries apart: a [`MemberKind::Word`].
        key: &'static str,
        /// Members of an entry, the key among them.
        members: &'static [Member],
    },
}

impl Member {
    /// Whether a client may clear it.
    pub fn is_clearable(&self) -> bool {
        matches!(self.kind, MemberKind::Number | MemberKind::Text { .. })
    }

    /// Checks a text as this member's value and brings it into its stored form.
    ///
    /// # Errors
    /// What is wrong with it. Whether a number can be dialled is left to the application server.
    pub fn parse(&self, text: &str) -> Result<Setting, String> {
        let text = text.trim();
        match &self.kind {
            MemberKind::Flag { .. } => {
                if text == "1" || text.eq_ignore_ascii_case("true") {
                    Ok(Setting::Flag(true))
                } else if text == "0" || text.eq_ignore_ascii_case("false") {
                    Ok(Setting::Flag(false))
                } else {
                    Err(format!("{} is neither true nor false", self.name))
                }
            }
            MemberKind::Integer { least, most, zero, .. } => {
                let also = if *zero { "0 or " } else { "" };
                match text.parse::<u32>() {
                    Ok(number) if (*least..=*most).contains(&number) || (*zero && number == 0) => {
                        Ok(Setting::Integer(number))
                    }
                    _ => Err(format!("{} is not {also}{least} to {most}", self.name)),
                }
            }
            MemberKind::Number => self.text(text, MAX_NUMBER),
            MemberKind::Text { most } => self.text(text, *most),
            MemberKind::Word { words } => match words.iter().find(|word| **word == text) {
                Some(word) => Ok(Setting::Text((*word).to_owned())),
                None => Err(format!("{} is none of its values", self.name)),
            },
            MemberKind::Entries { .. } => Err(format!("{} is not a plain value", self.name)),
        }
    }

    fn text(&self, text: &str, most: usize) -> Result<Setting, String> {
        if text.chars().count() > most {
            return Err(format!("{} is too long", self.name));
        }
        Ok(Setting::Text(text.to_owned()))
    }
}

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Integer(u32),
    /// A text, number to dial or word.
    Text(String),
    /// Entries in the order of their keys.
    Entries(Vec<Settings>),
}

/// Values by member; what has no value is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, Setting>);

/// What a client asks of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// No value any more.
    Clear,
    /// This value.
    Set(Setting),
    /// Changes of the entries that are named; an entry that is left with nothing but its key is gone.
    Entries(Vec<Patch>),
}

/// A partial change: what it does not name stays.
pub type Patch = Vec<(&'static Member, Wish)>;

impl Settings {
    /// What is there at first.
    pub fn first(members: &[Member]) -> Self {
        let mut settings = Self::default();
        for member in members {
            match member.kind {
                MemberKind::Flag { default } => settings.put(member.name, Setting::Flag(default)),
                MemberKind::Integer { default, .. } => settings.put(member.name, Setting::Integer(default)),
                MemberKind::Number
                | MemberKind::Text { .. }
                | MemberKind::Word { .. }
                | MemberKind::Entries { .. } => {}
            }
        }
        settings
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }
    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Setting::Flag(true)))
    }
    /// A number.
    pub fn integer(&self, name: &str) -> Option<u32> {
        if let Some(Setting::Integer(number)) = self.get(name) { Some(*number) } else { None }
    }
    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        if let Some(Setting::Text(text)) = self.get(name) { Some(text) } else { None }
    }
    /// Entries.
    pub fn entries(&self, name: &str) -> &[Self] {
        if let Some(Setting::Entries(entries)) = self.get(name) { entries } else { &[] }
    }
    /// Sets a value without any check.
    pub fn put(&mut self, name: &str, value: Setting) {
        self.0.insert(name.to_owned(), value);
    }
    /// All values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Makes a partial change. An empty text clears.
    ///
    /// # Errors
    /// `Invalid`: a value that cannot be cleared, or an entry without its key.
    pub fn change(&mut self, patch: Patch) -> PortResult<()> {
        for (member, wish) in patch {
            match wish {
                Wish::Clear if member.is_clearable() => drop(self.0.remove(member.name)),
                Wish::Clear => {
                    return Err(PortError::Invalid {
                        field: member.name,
                        reason: "cannot be cleared".to_owned(),
                    });
                }
                Wish::Set(Setting::Text(text)) if text.is_empty() => drop(self.0.remove(member.name)),
                Wish::Set(value) => self.put(member.name, value),
                Wish::Entries(patches) => {
                    let mut entries = self.entries(member.name).to_vec();
                    change_entries(member, &mut entries, patches)?;
                    if entries.is_empty() {
                        drop(self.0.remove(member.name));
                    } else {
                        self.put(member.name, Setting::Entries(entries));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Changes entries by their keys. There are never more than keys, so never too many.
fn change_entries(member: &Member, entries: &mut Vec<Settings>, patches: Vec<Patch>) -> PortResult<()> {
    let MemberKind::Entries { key, .. } = member.kind else { return Ok(()) };
    for patch in patches {
        let wanted = patch.iter().find_map(|(member, wish)| match wish {
            Wish::Set(Setting::Text(text)) if member.name == key => Some(text.clone()),
            _ => None,
        });
        let Some(wanted) = wanted else {
            return Err(PortError::Invalid { field: key, reason: "is missing".to_owned() });
        };
        let place = entries.binary_search_by(|entry| entry.text(key).unwrap_or_default().cmp(&wanted));
        let mut entry = place.ok().and_then(|at| entries.get(at)).cloned().unwrap_or_default();
        entry.change(patch)?;
        let empty = entry.iter().all(|(name, _)| name == key);
        match place {
            Ok(at) if empty => drop(entries.remove(at)),
            Ok(at) => entries[at] = entry,
            Err(_) if empty => {}
            Err(at) => entries.insert(at, entry),
        }
    }
    Ok(())
}

impl From<bool> for Setting {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
impl From<u32> for Setting {
    fn from(number: u32) -> Self {
        Self::Integer(number)
    }
}
impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
