//! How many requests one user, and all together, may make within a period; cli.md 5.4 and 5.6.

use crate::error::ApiError;
use openadp_appserver::{Principal, UserId};
use openadp_settings::{Context, Kind, Live, Parameter, Problem, Settings, Snapshot, Store, Tree, context};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Users that are counted within one period; whoever comes after them is not held up.
const MAX_USERS: usize = 100_000;
/// What a limit for directories must allow for each second of the period: clients read several pages at their start.
const LEAST_PER_SECOND: u32 = 5;

context! {
    /// How the applications work with the application server.
    pub struct CommunicationDefaults = Context::single(Tree::Adp, "System/CommunicationUtility/DefaultSettings") => {
        /// Requests that one user may make on Xsi-Actions within the period, over HTTP and CTI; further ones are refused
        /// with 503. Empty or 0: no limit. At least 100 is advised.
        pub user_transaction_limit: Option<u32> =
            Parameter::new("userTransactionLimit", Kind::integer(0, 1_000_000)).unit("requests");
        /// The period of this limit and of those of Xsi-Actions/OverloadControl.
        pub period_secs: u32 = Parameter::new("transactionLimitPeriodSecs", Kind::integer(1, 3600))
            .default("1").unit("seconds");
        /// Longest wait for an answer of the application server; a request without one is refused with 503. All tries together end before the two
        /// seconds are over in which every request is answered.
        pub answer_millis: u32 = Parameter::new("responseTimeoutInMilliseconds", Kind::integer(100, 1800))
            .default("1500").unit("milliseconds");
        /// How often a request that only reads is put again after it was not answered. What changes something is never
        /// repeated.
        pub retries: u32 = Parameter::new("retries", Kind::integer(0, 5)).default("1");
    }
}

context! {
    /// Limits for directories, which cost more than other resources. The period is that of
    /// System/CommunicationUtility/DefaultSettings; each limit is empty or at least five times the period in seconds.
    pub struct OverloadControl = Context::single(Tree::Adp, "Applications/Xsi-Actions/OverloadControl") => {
        /// Requests for directories that one user may make within the period; empty: no limit.
        pub user_directory_limit: Option<u32> =
            Parameter::new("userDirectoryTransactionLimit", Kind::integer(1, 1_000_000)).unit("requests");
        /// Requests for directories that all together may make of one process within the period; empty: no limit.
        pub global_directory_limit: Option<u32> =
            Parameter::new("globalDirectoryTransactionLimit", Kind::integer(1, 10_000_000)).unit("requests");
    }
}

/// A limit that the start of one client exhausts helps nobody.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let least = snapshot.get::<CommunicationDefaults>().period_secs.saturating_mul(LEAST_PER_SECOND);
    let overload = snapshot.get::<OverloadControl>();
    [
        ("userDirectoryTransactionLimit", overload.user_directory_limit),
        ("globalDirectoryTransactionLimit", overload.global_directory_limit),
    ]
    .into_iter()
    .filter(|(_, limit)| limit.is_some_and(|limit| limit < least))
    .map(|(name, _)| {
        let reason = format!("must be empty or at least {least}: five for each second of the period");
        Problem::new(OverloadControl::CONTEXT.full_path(), reason)
            .parameter(name)
            .hint("the period is transactionLimitPeriodSecs of System/CommunicationUtility/DefaultSettings")
    })
    .collect()
}

/// Counts requests and refuses those beyond a limit.
pub(crate) struct Limiter {
    defaults: Live<CommunicationDefaults>,
    overload: Live<OverloadControl>,
    counted: Mutex<Counted>,
}

/// What was counted since the period began.
struct Counted {
    began: Instant,
    /// Of each user: all requests, and those for directories.
    users: HashMap<UserId, (u32, u32)>,
    directories: u32,
}

impl Limiter {
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        Self::beginning(store, Instant::now())
    }

    fn beginning(store: &Arc<Store>, began: Instant) -> Self {
        let counted = Counted { began, users: HashMap::new(), directories: 0 };
        Self { defaults: store.live(), overload: store.live(), counted: Mutex::new(counted) }
    }

    /// Counts a request on Xsi-Actions.
    ///
    /// # Errors
    /// A limit is reached; the request then counts for nothing.
    pub(crate) fn admit(&self, principal: &Principal, directory: bool) -> Result<(), ApiError> {
        self.admit_at(principal, directory, Instant::now())
    }

    fn admit_at(&self, principal: &Principal, directory: bool, now: Instant) -> Result<(), ApiError> {
        let (defaults, overload) = (self.defaults.load(), self.overload.load());
        let all = defaults.user_transaction_limit.filter(|limit| *limit > 0);
        let (own, global) = if directory {
            (overload.user_directory_limit, overload.global_directory_limit)
        } else {
            (None, None)
        };
        if all.is_none() && own.is_none() && global.is_none() {
            return Ok(());
        }
        let user = match principal {
            Principal::Subscriber { user_id, .. } | Principal::Administrator { user_id, .. } => Some(user_id),
            // It asks for many users; limits of one are not meant for it.
            Principal::ClientApplication { .. } => None,
        };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(counted.began) >= Duration::from_secs(defaults.period_secs.into()) {
            *counted = Counted { began: now, users: HashMap::new(), directories: 0 };
        }
        let reached = |limit: Option<u32>, count: u32| limit.is_some_and(|limit| count >= limit);
        let (requests, directories) =
            user.and_then(|user| counted.users.get(user)).copied().unwrap_or_default();
        let refused = if reached(global, counted.directories) {
            Some("global directory")
        } else if reached(own, directories) {
            Some("user directory")
        } else if user.is_some() && reached(all, requests) {
            Some("user")
        } else {
            None
        };
        if let Some(limit) = refused {
            metrics::counter!("xsi_transactions_refused_total", "limit" => limit).increment(1);
            return Err(ApiError::TooMany { limit });
        }
        counted.directories = counted.directories.saturating_add(u32::from(directory));
        if let Some(user) = user {
            let room = counted.users.len() < MAX_USERS;
            if let Some((requests, directories)) = counted.users.get_mut(user) {
                *requests = requests.saturating_add(1);
                *directories = directories.saturating_add(u32::from(directory));
            } else if room {
                counted.users.insert(user.clone(), (1, u32::from(directory)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MODULE;
    use openadp_appserver::{Account, AccountKind};
    use openadp_settings::{Author, Change, Edit, Registry};
    use std::collections::BTreeMap;
    use time::OffsetDateTime;

    const DEFAULTS: &str = "ADP_CLI/System/CommunicationUtility/DefaultSettings";
    const OVERLOAD: &str = "ADP_CLI/Applications/Xsi-Actions/OverloadControl";

    fn store() -> Arc<Store> {
        Store::in_memory(Registry::new([MODULE]).expect("declared well"))
    }
    fn set(store: &Store, context: &str, name: &str, value: &str) -> Result<(), String> {
        let values = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
        let edit = Edit::Set { context: context.to_owned(), key: Vec::new(), values };
        let change = Change { author: Author("test".into()), comment: None, edits: vec![edit], force: false };
        store.commit(&change, OffsetDateTime::UNIX_EPOCH).map(drop).map_err(|problems| problems.to_string())
    }
    #[expect(clippy::disallowed_methods, reason = "a test says who asks")]
    fn user(name: &str) -> Principal {
        let kind = AccountKind::Subscriber { provider: "acme".into(), group: "hq".into() };
        Principal::of(Account { user_id: UserId::new(name), kind, password_expires_days: None })
    }
    #[expect(clippy::disallowed_methods, reason = "a test says who asks")]
    fn cloud() -> Principal {
        Principal::client_application("cloud".into())
    }

    #[test]
    fn a_user_beyond_the_limit_waits_for_the_next_period_and_others_do_not() {
        let store = store();
        let start = Instant::now();
        let limiter = Limiter::beginning(&store, start);
        let (alice, bo) = (user("alice@lab"), user("bo@lab"));
        for _ in 0..1000 {
            limiter.admit_at(&alice, true, start).expect("no limit is set");
        }
        set(&store, DEFAULTS, "userTransactionLimit", "3").unwrap();
        set(&store, DEFAULTS, "transactionLimitPeriodSecs", "2").unwrap();
        for _ in 0..3 {
            limiter.admit_at(&alice, false, start).expect("within the limit");
        }
        assert!(matches!(limiter.admit_at(&alice, false, start), Err(ApiError::TooMany { limit: "user" })));
        limiter.admit_at(&bo, false, start).expect("another user");
        limiter.admit_at(&cloud(), false, start).expect("not one user");
        assert!(limiter.admit_at(&alice, false, start + Duration::from_millis(1999)).is_err());
        limiter.admit_at(&alice, false, start + Duration::from_secs(2)).expect("a new period");
        set(&store, DEFAULTS, "userTransactionLimit", "0").unwrap();
        for _ in 0..10 {
            limiter.admit_at(&alice, false, start + Duration::from_secs(2)).expect("0 is no limit");
        }
    }

    #[test]
    fn directories_have_limits_of_their_own() {
        let store = store();
        let start = Instant::now();
        let limiter = Limiter::beginning(&store, start);
        set(&store, OVERLOAD, "userDirectoryTransactionLimit", "5").unwrap();
        set(&store, OVERLOAD, "globalDirectoryTransactionLimit", "8").unwrap();
        for _ in 0..5 {
            limiter.admit_at(&user("alice@lab"), true, start).expect("within the limit");
        }
        let refused = limiter.admit_at(&user("alice@lab"), true, start);
        assert!(matches!(refused, Err(ApiError::TooMany { limit: "user directory" })));
        limiter.admit_at(&user("alice@lab"), false, start).expect("no directory");
        for _ in 0..3 {
            limiter.admit_at(&user("bo@lab"), true, start).expect("within the limit");
        }
        let refused = limiter.admit_at(&user("carol@lab"), true, start);
        assert!(matches!(refused, Err(ApiError::TooMany { limit: "global directory" })));
    }

    #[test]
    fn a_limit_for_directories_is_five_a_second_at_least() {
        let store = store();
        let refused = set(&store, OVERLOAD, "userDirectoryTransactionLimit", "4").unwrap_err();
        assert!(refused.contains("at least 5"), "{refused}");
        set(&store, OVERLOAD, "globalDirectoryTransactionLimit", "50").unwrap();
        set(&store, DEFAULTS, "transactionLimitPeriodSecs", "10").unwrap();
        let refused = set(&store, DEFAULTS, "transactionLimitPeriodSecs", "11").unwrap_err();
        assert!(refused.contains("at least 55"), "{refused}");
        set(&store, OVERLOAD, "globalDirectoryTransactionLimit", "").unwrap();
        set(&store, DEFAULTS, "transactionLimitPeriodSecs", "11").unwrap();
    }
}
