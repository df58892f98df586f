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
        /// At first.
        default: Option<&'static str>,
    },
    /// Name of a schedule. There are none to name yet, so it can only be cleared.
    Schedule,
    /// A flag of the protocol that is always the same here, since nothing would follow from the other value; asking for that
    /// is refused.
    Fixed {
        /// What it is.
        value: bool,
    },
    /// Entries that are told apart by one of their members.
    Entries {
        /// What tells entries apart: a [`MemberKind::Word`].
        key: &'static str,
        /// Members of an entry, the key among them.
        members: &'static [Member],
    },
    /// Members of their own; may be cleared as a whole.
    Group {
        /// The members.
        members: &'static [Member],
    },
    /// Phone numbers, replaced as a whole.
    Numbers {
        /// Name of one of them.
        item: &'static str,
        /// Most of them.
        most: usize,
    },
    /// Entries without a name, replaced as a whole.
    Items {
        /// Name of one of them.
        item: &'static str,
        /// Most of them.
        most: usize,
        /// Members of one; the first one must have a value.
        members: &'static [Member],
    },
    /// Entries that are resources of their own, below the service's.
    Records(&'static Records),
}

/// Entries of a service that have resources of their own: locations, criteria. In the service's own document each of them
/// shows in short, and the short form can be changed there too.
#[derive(Debug, PartialEq, Eq)]
pub struct Records {
    /// What one of them is, in words.
    pub what: &'static str,
    /// Name of one in the service's document.
    pub item: &'static str,
    /// Member that tells them apart, a number or a text.
    pub key: &'static str,
    /// Name of its URI in the service's document, before or after the members that show.
    pub uri: Uri,
    /// Members that the service's document shows.
    pub shown: &'static [&'static str],
    /// Segment of their resources, below the service's.
    pub segment: &'static str,
    /// Root of their documents.
    pub root: &'static str,
    /// Their members, the key among them.
    pub members: &'static [Member],
    /// They stand in the service's document one by one, without a list around them.
    pub bare: bool,
    /// How their documents are nested, where they are.
    pub nest: Option<Nest>,
    /// Most of them.
    pub most: usize,
}

/// A document whose members stand in a child of the root.
#[derive(Debug, PartialEq, Eq)]
pub struct Nest {
    /// Name of the child.
    pub name: &'static str,
    /// Members that stand before it, in the root.
    pub outside: &'static [&'static str],
    /// Members that only the service's own document shows.
    pub hidden: &'static [&'static str],
}

/// Where the URI of a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uri {
    /// First, under this name.
    First(&'static str),
    /// Last, under this name.
    Last(&'static str),
}

/// What is to happen to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// It is made.
    Add(Patch),
    /// It is changed in part.
    Change(Patch),
    /// It goes.
    Remove,
}

impl Member {
    /// Any flag.
    const FLAG: Self = Self { name: "", kind: MemberKind::Flag { default: false } };

    /// Whether a client may clear it.
    pub fn is_clearable(&self) -> bool {
        matches!(
            self.kind,
            MemberKind::Group { .. }
                | MemberKind::Items { .. }
                | MemberKind::Number
                | MemberKind::Numbers { .. }
                | MemberKind::Schedule
                | MemberKind::Text { .. }
        )
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
            MemberKind::Fixed { value } => match Self::FLAG.parse(text) {
                Ok(Setting::Flag(flag)) if flag == *value => Ok(Setting::Flag(flag)),
                _ => Err(format!("{} is always {value} here", self.name)),
            },
            MemberKind::Schedule if text.is_empty() => Ok(Setting::Text(String::new())),
            MemberKind::Schedule => Err(format!("there is no {} of this name", self.name)),
            MemberKind::Word { words, .. } => match words.iter().find(|word| **word == text) {
                Some(word) => Ok(Setting::Text((*word).to_owned())),
                None => Err(format!("{} is none of its values", self.name)),
            },
            MemberKind::Entries { .. }
            | MemberKind::Group { .. }
            | MemberKind::Items { .. }
            | MemberKind::Numbers { .. }
            | MemberKind::Records(_) => Err(format!("{} is not a plain value", self.name)),
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
    /// Entries, in the order of their keys where they have some.
    Entries(Vec<Settings>),
    /// Phone numbers.
    Numbers(Vec<String>),
    /// Members of their own.
    Group(Settings),
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
    /// Changes of some members of its own.
    Group(Patch),
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
                MemberKind::Fixed { value } => settings.put(member.name, Setting::Flag(value)),
                MemberKind::Word { default: Some(word), .. } => settings.put(member.name, word.into()),
                MemberKind::Entries { .. }
                | MemberKind::Group { .. }
                | MemberKind::Items { .. }
                | MemberKind::Number
                | MemberKind::Numbers { .. }
                | MemberKind::Records(_)
                | MemberKind::Schedule
                | MemberKind::Text { .. }
                | MemberKind::Word { .. } => {}
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
    /// Phone numbers.
    pub fn numbers(&self, name: &str) -> &[String] {
        if let Some(Setting::Numbers(numbers)) = self.get(name) { numbers } else { &[] }
    }
    /// Members of their own.
    pub fn group(&self, name: &str) -> Option<&Self> {
        if let Some(Setting::Group(group)) = self.get(name) { Some(group) } else { None }
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
                Wish::Group(patch) => {
                    let MemberKind::Group { members } = member.kind else { continue };
                    let mut group = self.group(member.name).cloned().unwrap_or_else(|| Self::first(members));
                    group.change(patch)?;
                    self.put(member.name, Setting::Group(group));
                }
                Wish::Entries(patches) => {
                    let mut entries = self.entries(member.name).to_vec();
                    match member.kind {
                        MemberKind::Records(records) => change_shown(records, &mut entries, patches)?,
                        _ => change_entries(member, &mut entries, patches)?,
                    }
                    self.put_entries(member.name, entries);
                }
            }
        }
        Ok(())
    }
}

impl Settings {
    fn put_entries(&mut self, name: &str, entries: Vec<Self>) {
        if entries.is_empty() {
            drop(self.0.remove(name));
        } else {
            self.put(name, Setting::Entries(entries));
        }
    }

    /// Makes, changes or removes one of the records of a member.
    ///
    /// # Errors
    /// `Conflict` when one of the key is there and none should be, `NotFound` when none is and one should, `LimitReached`,
    /// and as of [`change`](Self::change).
    pub fn change_record(
        &mut self,
        name: &str,
        records: &Records,
        key: &str,
        change: RecordChange,
    ) -> PortResult<()> {
        let mut entries = self.entries(name).to_vec();
        let place = entries.iter().position(|entry| entry.text(records.key) == Some(key));
        match (change, place) {
            (RecordChange::Add(_), Some(_)) => return Err(PortError::Conflict { what: records.what }),
            (RecordChange::Add(_), None) if entries.len() >= records.most => {
                return Err(PortError::LimitReached { what: records.what });
            }
            (RecordChange::Add(patch), None) => {
                if key.is_empty() {
                    return Err(PortError::Invalid { field: records.key, reason: "is missing".to_owned() });
                }
                let mut entry = Self::first(records.members);
                entry.change(patch)?;
                entry.put(records.key, key.into());
                entries.push(entry);
            }
            (RecordChange::Change(patch), Some(at)) => {
                let entry = &mut entries[at];
                entry.change(patch)?;
                if entry.text(records.key) != Some(key) {
                    return Err(PortError::Invalid {
                        field: records.key,
                        reason: "is not the one of the resource".to_owned(),
                    });
                }
            }
            (RecordChange::Remove, Some(at)) => drop(entries.remove(at)),
            (RecordChange::Change(_) | RecordChange::Remove, None) => {
                return Err(PortError::NotFound { what: records.what });
            }
        }
        self.put_entries(name, entries);
        Ok(())
    }
}

/// Changes what the service's document shows of its records; it makes none.
fn change_shown(records: &Records, entries: &mut [Settings], patches: Vec<Patch>) -> PortResult<()> {
    for patch in patches {
        let wanted = patch.iter().find_map(|(member, wish)| match wish {
            Wish::Set(Setting::Text(text)) if member.name == records.key => Some(text.clone()),
            _ => None,
        });
        let entry = entries.iter_mut().find(|entry| entry.text(records.key) == wanted.as_deref());
        match (wanted, entry) {
            (Some(_), Some(entry)) => entry.change(patch)?,
            (Some(_), None) => return Err(PortError::NotFound { what: records.what }),
            (None, _) => {
                return Err(PortError::Invalid { field: records.key, reason: "is missing".to_owned() });
            }
        }
    }
    Ok(())
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
