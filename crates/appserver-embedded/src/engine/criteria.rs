//! Of whom a call must be for a selective service to act on it.

use super::{Dialled, Party};
use openadp_appserver::{ACTIVE, Settings};

/// Of whom a call must be for a selective service to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Criterion {
    excludes: bool,
    selection: Selection,
    anonymous: bool,
    unavailable: bool,
    numbers: Vec<Dialled>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selection {
    Any,
    Forwarded,
    Specified,
}

/// Who calls, as far as criteria ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) party: Option<&'a Party>,
    pub(crate) hidden: bool,
    pub(crate) forwarded: bool,
}

impl Criterion {
    pub(super) fn all(entries: &[Settings]) -> Vec<Self> {
        entries.iter().filter(|entry| entry.flag(ACTIVE)).map(Self::of).collect()
    }

    fn of(entry: &Settings) -> Self {
        let from = entry.group("criteriaFromDn");
        let numbers = from.map(|from| from.numbers("phoneNumberList")).unwrap_or_default();
        Self {
            excludes: entry.flag("blackListed"),
            selection: match from.and_then(|from| from.text("fromDnCriteriaSelection")) {
                Some("Forwarded") => Selection::Forwarded,
                Some("Specified Only") => Selection::Specified,
                _ => Selection::Any,
            },
            anonymous: from.is_some_and(|from| from.flag("includeAnonymousCallers")),
            unavailable: from.is_some_and(|from| from.flag("includeUnavailableCallers")),
            numbers: numbers.iter().filter_map(|number| Dialled::parse(number).ok()).collect(),
        }
    }

    fn fits(&self, called: &Party, caller: Caller<'_>) -> bool {
        match self.selection {
            Selection::Any => true,
            Selection::Forwarded => caller.forwarded,
            Selection::Specified if caller.hidden => self.anonymous,
            Selection::Specified => {
                let Some(party) = caller.party else { return self.unavailable };
                let nameless = party.number.is_none() && party.extension.is_none();
                (self.unavailable && nameless) || called.means(&self.numbers, party)
            }
        }
    }
}

/// Whether a service that has these criteria acts on a call.
pub(super) fn selects(criteria: &[Criterion], called: &Party, caller: Caller<'_>) -> bool {
    let mut fitting = criteria.iter().filter(|criterion| criterion.fits(called, caller)).peekable();
    fitting.peek().is_some() && fitting.all(|criterion| !criterion.excludes)
}
