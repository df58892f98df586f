//! The ring of keys and its transitions. Pure: no files, no clock.

use crate::key::{Key, KeyError, State};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long a key verifies after it stopped signing: the longest lifetime a token may have, and some minutes for clocks.
pub const RETIRING_FOR: Duration = Duration::minutes(4320 * 60 + 10);
/// Keys that can verify at once. With the longest tokens, rotating weekly needs 27.
pub const MAX_KEYS: usize = 64;
/// Names of erased keys that are kept.
pub const MAX_RETIRED: usize = 256;

/// A key in the ring.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Arc<Key>,
    /// Where it is in its life; never [`State::Retired`].
    pub state: State,
    /// When it was made.
    pub created: OffsetDateTime,
    /// When it is erased, once it is retiring.
    pub retires: Option<OffsetDateTime>,
}

/// All keys of an installation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ring {
    pub(crate) set_id: String,
    pub(crate) entries: Vec<Entry>,
    /// Names of keys that were erased or revoked.
    pub(crate) retired: Vec<String>,
}

/// Why a transition is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is no such key.
    #[error("Entry not found: no key of this id")]
    Unknown,
    /// The key is not pending, or only its public half is here.
    #[error("only a pending key whose private half is here can be promoted")]
    NotPromotable,
    /// Too many keys.
    #[error("the ring holds {MAX_KEYS} keys already; revoke one, or wait until one has retired")]
    Full,
    /// The key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Ring {
    pub(crate) fn active(&self) -> Option<&Arc<Key>> {
        self.entries.iter().find(|entry| entry.state == State::Active).map(|entry| &entry.key)
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.kid() == kid)
    }

    /// Adds a pending key.
    pub(crate) fn add(&mut self, key: Arc<Key>, created: OffsetDateTime) -> Result<(), RingError> {
        if self.entries.len() >= MAX_KEYS {
            return Err(RingError::Full);
        }
        self.entries.push(Entry { key, state: State::Pending, created, retires: None });
        Ok(())
    }

    /// Lets a pending key sign; the one that signed so far retires.
    pub(crate) fn promote(&mut self, kid: &str, now: OffsetDateTime) -> Result<(), RingError> {
        let entry = self.find(kid).ok_or(RingError::Unknown)?;
        if entry.state == State::Active {
            return Ok(());
        }
        if entry.state != State::Pending || !entry.key.can_sign() {
            return Err(RingError::NotPromotable);
        }
        for entry in &mut self.entries {
            if entry.key.kid() == kid {
                entry.state = State::Active;
                entry.retires = None;
            } else if entry.state == State::Active {
                entry.state = State::Retiring;
                entry.retires = Some(now + RETIRING_FOR);
            }
        }
        Ok(())
    }

    /// Erases a key at once: everything it signed is void.
    pub(crate) fn revoke(&mut self, kid: &str) -> Result<(), RingError> {
        let position =
            self.entries.iter().position(|entry| entry.key.kid() == kid).ok_or(RingError::Unknown)?;
        self.entries.remove(position);
        self.bury(kid.to_owned());
        Ok(())
    }

    /// Erases keys whose time is over; tells whether there were any.
    pub(crate) fn retire(&mut self, now: OffsetDateTime) -> bool {
        let over: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| entry.retires.is_some_and(|at| at <= now))
            .map(|entry| entry.key.kid().to_owned())
            .collect();
        self.entries.retain(|entry| entry.retires.is_none_or(|at| at > now));
        let any = !over.is_empty();
        for kid in over {
            self.bury(kid);
        }
        any
    }

    pub(crate) fn is_retired(&self, kid: &str) -> bool {
        self.retired.iter().any(|retired| retired == kid)
    }

    fn bury(&mut self, kid: String) {
        if !self.is_retired(&kid) {
            if self.retired.len() >= MAX_RETIRED {
                self.retired.remove(0);
            }
            self.retired.push(kid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeySpec;
    use proptest::prelude::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_795_255_200 + seconds).unwrap()
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Add,
        Promote(usize),
        Revoke(usize),
        Retire(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Add),
            (0usize..6).prop_map(Step::Promote),
            (0usize..6).prop_map(Step::Revoke),
            (0i64..40_000_000).prop_map(Step::Retire),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever is done in whatever order: at most one key signs, names are unique, what was erased stays erased.
        #[test]
        fn invariants(steps in proptest::collection::vec(step(), 0..24)) {
            let mut ring = Ring::default();
            for step in steps {
                let kid = |index: usize| ring.entries.get(index).map(|entry| entry.key.kid().to_owned());
                match step {
                    Step::Add => ring.add(Arc::new(Key::generate(KeySpec::P256).unwrap()), at(0)).unwrap(),
                    Step::Promote(index) => {
                        if let Some(kid) = kid(index) {
                            let _may_refuse = ring.promote(&kid, at(0));
                        }
                    }
                    Step::Revoke(index) => {
                        if let Some(kid) = kid(index) {
                            ring.revoke(&kid).unwrap();
                        }
                    }
                    Step::Retire(after) => {
                        ring.retire(at(after));
                    }
                }
                prop_assert!(ring.entries.iter().filter(|entry| entry.state == State::Active).count() <= 1);
                for entry in &ring.entries {
                    prop_assert!(!ring.is_retired(entry.key.kid()));
                    prop_assert_eq!(entry.retires.is_some(), entry.state == State::Retiring);
                }
            }
        }
    }

    #[test]
    fn a_key_verifies_as_long_as_its_longest_token_lives() {
        let mut ring = Ring::default();
        let keys: Vec<_> = (0..2).map(|_| Arc::new(Key::generate(KeySpec::P256).unwrap())).collect();
        for key in &keys {
            ring.add(key.clone(), at(0)).unwrap();
            ring.promote(key.kid(), at(0)).unwrap();
        }
        let longest = 4320 * 3600;
        assert!(!ring.retire(at(longest)));
        assert!(ring.find(keys[0].kid()).is_some());
        assert!(ring.retire(at(longest + 601)));
        assert!(ring.find(keys[0].kid()).is_none());
        assert_eq!(ring.active().unwrap().kid(), keys[1].kid());
    }
}
