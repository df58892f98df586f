//! The one table of services: names, settings, and who has them. xsi.md 3.2 and 3.3

use super::declare::{Member, MemberKind, Patch, Wish};
use crate::{PortError, PortResult};

/// A service, declared.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Name as the service list and the event packages spell it.
    pub name: &'static str,
    /// Segment of its URI, and root of its document.
    pub segment: &'static str,
    /// Its settings, in the order of the wire.
    pub members: &'static [Member],
    /// What must have a value while it is active.
    pub needs: Option<&'static str>,
    /// Type of the event that tells of it, where there is an event package of its name.
    pub event: Option<&'static str>,
}

const fn flag(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Flag { default: false } }
}
const fn number(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Number }
}
const fn text(name: &'static str, most: usize) -> Member {
    Member { name, kind: MemberKind::Text { most } }
}

/// Whether it acts.
pub const ACTIVE: &str = "active";
/// Where calls are forwarded to.
pub const FORWARD_TO: &str = "forwardToPhoneNumber";
/// Rings before an unanswered call is forwarded.
pub const NUMBER_OF_RINGS: &str = "numberOfRings";
/// A short ring for a call that did not come through.
pub const RING_SPLASH: &str = "ringSplash";
/// Digits before the code of a Speed Dial 100.
pub const PREFIX: &str = "prefix";
/// What is dialled for a number.
pub const SPEED_CODE: &str = "speedCode";
/// The number that is dialled.
pub const PHONE_NUMBER: &str = "phoneNumber";
/// Codes of Speed Dial 8.
pub const SPEED_DIAL_8: &str = "speedDial8Entry";
/// Codes of Speed Dial 100.
pub const SPEED_DIAL_100: &str = "speedDial100Entry";

const CODES_8: &[&str] = &["2", "3", "4", "5", "6", "7", "8", "9"];
const CODES_100: &[&str] = &[
    "00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33",
    "34", "35", "36", "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "47", "48", "49", "50",
    "51", "52", "53", "54", "55", "56", "57", "58", "59", "60", "61", "62", "63", "64", "65", "66", "67",
    "68", "69", "70", "71", "72", "73", "74", "75", "76", "77", "78", "79", "80", "81", "82", "83", "84",
    "85", "86", "87", "88", "89", "90", "91", "92", "93", "94", "95", "96", "97", "98", "99",
];

macro_rules! services {
    ($($(#[$meta:meta])* $kind:ident = $name:literal, $segment:literal, [$($member:expr),*], $needs:expr, $event:expr;)*) => {
        /// Which service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum ServiceKind {
            $($(#[$meta])* $kind,)*
        }

        impl ServiceKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// What is declared of it.
            pub fn spec(self) -> &'static ServiceSpec {
                match self {
                    $(Self::$kind => {
                        const SPEC: &ServiceSpec = &ServiceSpec {
                            name: $name,
                            segment: $segment,
                            members: &[$($member),*],
                            needs: $needs,
                            event: $event,
                        };
                        SPEC
                    })*
                }
            }
        }
    };
}

services! {
    /// Refuses callers who do not show who they are.
    AnonymousCallRejection = "Anonymous Call Rejection", "AnonymousCallRejection", [flag(ACTIVE)], None, None;
    /// Forwards all calls.
    CallForwardingAlways = "Call Forwarding Always", "CallForwardingAlways",
        [flag(ACTIVE), number(FORWARD_TO), flag(RING_SPLASH)], Some(FORWARD_TO), Some("CallForwardingAlwaysEvent");
    /// Forwards calls while busy.
    CallForwardingBusy = "Call Forwarding Busy", "CallForwardingBusy",
        [flag(ACTIVE), number(FORWARD_TO)], Some(FORWARD_TO), Some("CallForwardingBusyEvent");
    /// Forwards calls that nobody answers.
    CallForwardingNoAnswer = "Call Forwarding No Answer", "CallForwardingNoAnswer",
        [flag(ACTIVE), number(FORWARD_TO),
         Member { name: NUMBER_OF_RINGS, kind: MemberKind::Integer { least: 2, most: 20, zero: true, default: 3 } }],
        Some(FORWARD_TO), Some("CallForwardingNoAnswerEvent");
    /// Offers a second call while the first one lasts.
    CallWaiting = "Call Waiting", "CallWaiting",
        [Member { name: ACTIVE, kind: MemberKind::Flag { default: true } }], None, Some("CallWaitingEvent");
    /// Shows who calls although they block it.
    CallingLineIdBlockingOverride = "Calling Line ID Blocking Override", "CallingLineIDBlockingOverride",
        [flag(ACTIVE)], None, None;
    /// Hides from those who are called who calls.
    CallingLineIdDeliveryBlocking = "Calling Line ID Delivery Blocking", "CallingLineIDDeliveryBlocking",
        [flag(ACTIVE)], None, None;
    /// Lets no call ring.
    DoNotDisturb = "Do Not Disturb", "DoNotDisturb", [flag(ACTIVE), flag(RING_SPLASH)], None, Some("DoNotDisturbEvent");
    /// Dials by two digits.
    SpeedDial100 = "Speed Dial 100", "SpeedDial100",
        [text(PREFIX, 3),
         Member { name: SPEED_DIAL_100, kind: MemberKind::Entries { key: SPEED_CODE, members: &[
            Member { name: SPEED_CODE, kind: MemberKind::Word { words: CODES_100 } }, number(PHONE_NUMBER), text("description", 80)] } }],
        None, None;
    /// Dials by one digit.
    SpeedDial8 = "Speed Dial 8", "SpeedDial8",
        [Member { name: SPEED_DIAL_8, kind: MemberKind::Entries { key: SPEED_CODE, members: &[
            Member { name: SPEED_CODE, kind: MemberKind::Word { words: CODES_8 } }, number(PHONE_NUMBER), text("description", 80)] } }],
        None, None;
}

impl ServiceKind {
    /// Name as the service list and the event packages spell it.
    pub fn display_name(self) -> &'static str {
        self.spec().name
    }

    /// A change of plain members by their names; `None` clears.
    ///
    /// # Errors
    /// `Invalid`: no such member, or not a value of it.
    pub fn patch(self, wishes: &[(&'static str, Option<&str>)]) -> PortResult<Patch> {
        plain(self.spec().members, wishes)
    }

    /// A change of one entry of a member that has entries, the entry's key among the wishes.
    ///
    /// # Errors
    /// As of [`patch`](Self::patch).
    pub fn entry_patch(
        self,
        name: &'static str,
        wishes: &[(&'static str, Option<&str>)],
    ) -> PortResult<Patch> {
        let member = member(self.spec().members, name)?;
        let MemberKind::Entries { members, .. } = member.kind else {
            return Err(PortError::Invalid { field: name, reason: "has no entries".to_owned() });
        };
        Ok(vec![(member, Wish::Entries(vec![plain(members, wishes)?]))])
    }
}

fn member(members: &'static [Member], name: &'static str) -> PortResult<&'static Member> {
    let unknown = || PortError::Invalid { field: name, reason: "no such member".to_owned() };
    members.iter().find(|member| member.name == name).ok_or_else(unknown)
}

fn plain(members: &'static [Member], wishes: &[(&'static str, Option<&str>)]) -> PortResult<Patch> {
    let wish = |&(name, text): &(&'static str, Option<&str>)| {
        let member = member(members, name)?;
        let wish = text.map_or(Ok(Wish::Clear), |text| member.parse(text).map(Wish::Set));
        Ok((member, wish.map_err(|reason| PortError::Invalid { field: name, reason })?))
    };
    wishes.iter().map(wish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_declaration_is_whole() {
        let specs: Vec<_> = ServiceKind::ALL.iter().map(|kind| kind.spec()).collect();
        let names: BTreeSet<_> = specs.iter().map(|spec| spec.name).collect();
        let segments: BTreeSet<_> = specs.iter().map(|spec| spec.segment.to_lowercase()).collect();
        assert_eq!((names.len(), segments.len()), (specs.len(), specs.len()));
        for spec in specs {
            if let Some(needs) = spec.needs {
                assert!([needs, ACTIVE].iter().all(|name| spec.members.iter().any(|m| m.name == *name)));
            }
            for member in spec.members {
                let MemberKind::Entries { key, members } = &member.kind else { continue };
                let key = members.iter().find(|member| member.name == *key).expect("its key");
                let MemberKind::Word { words } = key.kind else { panic!("{} has another key", member.name) };
                assert!(words.is_sorted(), "entries are kept in the order of {}", key.name);
            }
        }
    }
}
