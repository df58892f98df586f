//! The ring as data: which keys there are and in what state, and the changes that are allowed. No I/O, no clock.
//!
//! authservice.md 9: `pending` (verifies) -> `active` (signs; exactly one) -> `retiring` (verifies until the last token it
//! signed has expired) -> `retired` (erased).

use crate::{Algorithm, KeyStoreError};
use serde::{Deserialize, Serialize};

/// Keys that a ring holds at most, without retired ones: a rotation a week over the longest life of a token (180 days) needs
/// twenty-eight.
pub const MAX_KEYS: usize = 32;
/// Retired keys whose ids are remembered, so that an old file does not bring them back.
const MAX_RETIRED: usize = 64;
/// Seconds that a key verifies after it signed last: the longest life of a token (4320 hours) and ten minutes for clocks
/// and for processes that have not read the change yet. authservice.md 9
pub const RETIRING_SECONDS: i64 = 4320 * 3600 + 600;

/// State of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Signs and verifies; at most one key.
    Active,
    /// Verifies, and may be promoted.
    Pending,
    /// Erased; only its id is remembered.
    Retired,
    /// Verifies until its last token has expired.
    Retiring,
}

impl KeyState {
    /// Its name as `get` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Retired => "retired",
            Self::Retiring => "retiring",
        }
    }
}

/// One key as the file keeps it. Times are seconds since 1970.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) kid: String,
    pub(crate) alg: Algorithm,
    pub(crate) state: KeyState,
    pub(crate) bits: u32,
    pub(crate) created: i64,
    /// Until when a retiring key verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<i64>,
    /// DER SubjectPublicKeyInfo, base64url; empty once retired.
    pub(crate) spki: String,
    /// PKCS#8 sealed with the machine key, base64url; only while pending or active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sealed: Option<String>,
    /// Whether an operator voided it, rather than its time being over: other nodes follow only the former.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) revoked: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({} {:?} {:?})", self.kid, self.alg, self.state)
    }
}

impl Record {
    fn retire(&mut self) {
        self.state = KeyState::Retired;
        self.until = None;
        self.sealed = None;
        self.spki = String::new();
    }
    fn demote(&mut self, now: i64) {
        self.state = KeyState::Retiring;
        self.until = Some(now.saturating_add(RETIRING_SECONDS));
        // It never signs again, so nothing is lost.
        self.sealed = None;
    }
}

/// All keys of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ring {
    /// Names the set of keys that a farm shares.
    pub(crate) set_id: String,
    pub(crate) keys: Vec<Record>,
}

/// When keys are made and promoted by themselves; both in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// From the creation of one key until the next one signs; 0 for never.
    pub(crate) period: i64,
    /// How long a key only verifies before it signs.
    pub(crate) publication: i64,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Generate,
    Nothing,
    Promote(String),
}

/// How an import treats the keys that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportMode {
    /// The file's keys that are not known yet are added, and only verify until they are promoted.
    Merge,
    /// The ring becomes what the file holds.
    #[default]
    Replace,
}

impl Ring {
    pub(crate) fn active(&self) -> Option<&Record> {
        self.keys.iter().find(|key| key.state == KeyState::Active)
    }
    pub(crate) fn find(&self, kid: &str) -> Option<&Record> {
        self.keys.iter().find(|key| key.kid == kid)
    }
    fn live(&self) -> usize {
        self.keys.iter().filter(|key| key.state != KeyState::Retired).count()
    }
    fn position(&self, kid: &str) -> Result<usize, KeyStoreError> {
        self.keys.iter().position(|key| key.kid == kid).ok_or_else(|| unknown(kid))
    }

    /// When a key that is made now counts as made: after all others, whatever the clock says and however quickly they follow
    /// each other, since all nodes of a farm go by this order.
    pub(crate) fn after_all(&self, now: i64) -> i64 {
        self.keys.iter().map(|key| key.created.saturating_add(1)).max().map_or(now, |after| after.max(now))
    }

    /// Adds a key, pending.
    pub(crate) fn add(&mut self, mut record: Record) -> Result<(), KeyStoreError> {
        if self.live() >= MAX_KEYS {
            return Err(KeyStoreError::TooMany { limit: MAX_KEYS });
        }
        record.state = KeyState::Pending;
        self.keys.push(record);
        Ok(())
    }

    /// Lets a pending key sign; the one that signed retires. Promoting the active key changes nothing.
    pub(crate) fn promote(&mut self, kid: &str, now: i64) -> Result<(), KeyStoreError> {
        let position = self.position(kid)?;
        let wrong = |state: KeyState| KeyStoreError::WrongState {
            kid: kid.to_owned(),
            state: state.name(),
            wanted: KeyState::Active.name(),
        };
        match self.keys[position].state {
            KeyState::Active => return Ok(()),
            KeyState::Pending if self.keys[position].sealed.is_some() => {}
            state @ (KeyState::Pending | KeyState::Retiring | KeyState::Retired) => return Err(wrong(state)),
        }
        for key in &mut self.keys {
            if key.state == KeyState::Active {
                key.demote(now);
            }
        }
        self.keys[position].state = KeyState::Active;
        Ok(())
    }

    /// Erases a key at once: its tokens are void. Revoking a retired key changes nothing.
    pub(crate) fn revoke(&mut self, kid: &str) -> Result<(), KeyStoreError> {
        let position = self.position(kid)?;
        self.keys[position].retire();
        self.keys[position].revoked = true;
        self.bound();
        Ok(())
    }

    /// Erases retiring keys whose time is over; whether there was one.
    pub(crate) fn retire_due(&mut self, now: i64) -> bool {
        let mut any = false;
        for key in &mut self.keys {
            if key.state == KeyState::Retiring && key.until.is_none_or(|until| now > until) {
                key.retire();
                any = true;
            }
        }
        self.bound();
        any
    }

    /// What a schedule asks for now. All times count from the creation of the active key, so that every node of a farm comes
    /// to the same.
    pub(crate) fn step(&self, schedule: Schedule, now: i64) -> Step {
        let (Some(active), 1..) = (self.active(), schedule.period) else { return Step::Nothing };
        let due = active.created.saturating_add(schedule.period);
        // The oldest, and by its id among equals: the same one on every node.
        let next = self
            .keys
            .iter()
            .filter(|key| {
                key.state == KeyState::Pending && key.sealed.is_some() && key.created >= active.created
            })
            .min_by(|one, other| (one.created, &one.kid).cmp(&(other.created, &other.kid)));
        match next {
            None if now >= due.saturating_sub(schedule.publication) => Step::Generate,
            Some(next) if now >= due && now >= next.created.saturating_add(schedule.publication) => {
                Step::Promote(next.kid.clone())
            }
            None | Some(_) => Step::Nothing,
        }
    }

    /// Forgets the oldest retired ids beyond the bound.
    fn bound(&mut self) {
        let mut surplus =
            self.keys.iter().filter(|key| key.state == KeyState::Retired).count().saturating_sub(MAX_RETIRED);
        self.keys.retain(|key| {
            let drop = surplus > 0 && key.state == KeyState::Retired;
            surplus -= usize::from(drop);
            !drop
        });
    }

    /// What the ring is after an import; equal to itself when the same file comes again. A key that was retired here does
    /// not come back.
    pub(crate) fn import(&self, foreign: &Self, mode: ImportMode) -> Result<Self, KeyStoreError> {
        let retired = |kid: &str| self.find(kid).is_some_and(|key| key.state == KeyState::Retired);
        let mut result = match mode {
            ImportMode::Replace => {
                let mut keys: Vec<Record> =
                    foreign.keys.iter().filter(|key| !retired(&key.kid)).map(|key| self.known(key)).collect();
                keys.extend(self.keys.iter().filter(|key| key.state == KeyState::Retired).cloned());
                if !keys.iter().any(|key| key.state == KeyState::Active) {
                    return Err(KeyStoreError::import(
                        "it holds no active key that has not been revoked here",
                    ));
                }
                // Order does not matter, so a replaced ring equals itself.
                let order =
                    |key: &Record| self.keys.iter().position(|own| own.kid == key.kid).unwrap_or(usize::MAX);
                keys.sort_by_key(order);
                Self { set_id: foreign.set_id.clone(), keys }
            }
            ImportMode::Merge => {
                let mut merged = self.clone();
                if merged.set_id.is_empty() {
                    merged.set_id.clone_from(&foreign.set_id);
                }
                let signs = self.active().is_some();
                for key in &foreign.keys {
                    if self.find(&key.kid).is_some() {
                        continue;
                    }
                    let mut key = key.clone();
                    if signs && key.state == KeyState::Active {
                        key.state = KeyState::Pending;
                    }
                    merged.keys.push(key);
                }
                merged
            }
        };
        if result.live() > MAX_KEYS {
            return Err(KeyStoreError::TooMany { limit: MAX_KEYS });
        }
        result.bound();
        Ok(result)
    }

    /// A foreign record, with our own sealing of the same private key where there is one: sealing twice gives different
    /// bytes, and importing twice must change nothing.
    fn known(&self, foreign: &Record) -> Record {
        let mut record = foreign.clone();
        if let (Some(own), true) = (self.find(&foreign.kid), foreign.sealed.is_some())
            && own.sealed.is_some()
        {
            record.sealed.clone_from(&own.sealed);
        }
        record
    }
}

pub(crate) fn unknown(kid: &str) -> KeyStoreError {
    // What is not an id may be anything, a secret typed in the wrong place say.
    let shown = if crate::jwk::is_kid(kid) { kid } else { "of that name; a key id has 43 characters" };
    KeyStoreError::UnknownKey { kid: shown.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Step as Due;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_schedule_publishes_first_and_signs_at_the_end_of_the_period() {
        let schedule = Schedule { period: 1000, publication: 100 };
        let mut ring = Ring::default();
        assert_eq!(ring.step(schedule, 5000), Due::Nothing, "the first key is made when it is needed");
        ring.add(record(1)).unwrap();
        let first = ring.keys[0].kid.clone();
        ring.promote(&first, 0).unwrap();
        assert_eq!(ring.step(schedule, 899), Due::Nothing);
        assert_eq!(ring.step(schedule, 900), Due::Generate);
        assert_eq!(ring.step(Schedule { period: 0, ..schedule }, 5000), Due::Nothing, "never by itself");
        // Two nodes had the same thought; both take the same one.
        for (kid, created) in [(3, 905), (2, 905), (4, 901)] {
            ring.add(Record { created, ..record(kid) }).unwrap();
        }
        ring.keys.last_mut().unwrap().sealed = None;
        assert_eq!(ring.step(schedule, 1004), Due::Nothing, "published for less than it should be");
        assert_eq!(ring.step(schedule, 1005), Due::Promote(record(2).kid));
        ring.promote(&record(2).kid, 1005).unwrap();
        assert_eq!(ring.step(schedule, 1900), Due::Nothing, "one is left over, none is made");
        assert_eq!(ring.step(schedule, 1905), Due::Promote(record(3).kid));
    }

    fn record(kid: u8) -> Record {
        Record {
            kid: format!("{kid:043}"),
            alg: Algorithm::Rs256,
            state: KeyState::Pending,
            bits: 2048,
            created: 0,
            until: None,
            spki: "spki".to_owned(),
            sealed: Some(format!("sealed {kid}")),
            revoked: false,
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8),
        Import(Vec<u8>, bool),
        Promote(u8),
        Revoke(u8),
        Wait(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..30).prop_map(Step::Add),
            (proptest::collection::vec(0_u8..30, 1..6), any::<bool>())
                .prop_map(|(keys, merge)| Step::Import(keys, merge)),
            (0_u8..30).prop_map(Step::Promote),
            (0_u8..30).prop_map(Step::Revoke),
            (0_i64..RETIRING_SECONDS).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_done_one_key_signs_and_erased_keys_stay_erased(steps in proptest::collection::vec(step(), 0..80)) {
            let mut ring = Ring::default();
            let mut now = 0;
            for step in steps {
                let before = ring.clone();
                let done = match step {
                    Step::Add(kid) if ring.find(&format!("{kid:043}")).is_none() => ring.add(record(kid)),
                    Step::Add(_) => Ok(()),
                    Step::Import(mut kids, merge) => {
                        kids.sort_unstable();
                        kids.dedup();
                        let mut foreign = Ring { set_id: "other".to_owned(), keys: kids.iter().map(|kid| record(*kid)).collect() };
                        foreign.keys[0].state = KeyState::Active;
                        let mode = if merge { ImportMode::Merge } else { ImportMode::Replace };
                        ring.import(&foreign, mode).map(|next| {
                            assert_eq!(next.import(&foreign, mode).unwrap(), next, "a second import changes nothing");
                            ring = next;
                        })
                    }
                    Step::Promote(kid) => ring.promote(&format!("{kid:043}"), now),
                    Step::Revoke(kid) => ring.revoke(&format!("{kid:043}")),
                    Step::Wait(seconds) => { now += seconds; ring.retire_due(now); Ok(()) }
                };
                if done.is_err() {
                    prop_assert_eq!(&ring, &before);
                }
                prop_assert!(ring.keys.iter().filter(|key| key.state == KeyState::Active).count() <= 1);
                prop_assert!(ring.live() <= MAX_KEYS);
                for key in &ring.keys {
                    let private = matches!(key.state, KeyState::Active | KeyState::Pending);
                    prop_assert_eq!(key.sealed.is_some(), private);
                    prop_assert_eq!(key.spki.is_empty(), key.state == KeyState::Retired);
                    prop_assert_eq!(key.until.is_some(), key.state == KeyState::Retiring);
                }
                for key in before.keys.iter().filter(|key| key.state == KeyState::Retired) {
                    prop_assert!(ring.find(&key.kid).is_none_or(|now| now.state == KeyState::Retired));
                }
            }
        }
    }

    #[test]
    fn a_promoted_key_lets_the_former_one_verify_for_the_life_of_its_tokens() {
        let mut ring = Ring::default();
        ring.add(record(1)).unwrap();
        ring.add(record(2)).unwrap();
        ring.promote(&record(1).kid, 10).unwrap();
        ring.promote(&record(2).kid, 20).unwrap();
        let former = ring.find(&record(1).kid).unwrap();
        assert_eq!((former.state, former.until), (KeyState::Retiring, Some(20 + RETIRING_SECONDS)));
        assert!(!ring.retire_due(20 + RETIRING_SECONDS));
        assert!(ring.retire_due(21 + RETIRING_SECONDS));
        assert!(ring.promote(&record(1).kid, 30).is_err());
        assert!(matches!(ring.promote("nothing", 30), Err(KeyStoreError::UnknownKey { .. })));
    }
}
