//! Passwords at rest: argon2id, bounded in parallelism, and equal work for accounts that do not exist.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use openadp_appserver::{PortError, PortResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

/// Memory, passes and lanes. OWASP Password Storage Cheat Sheet (2025), argon2id: at least 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How many may wait for each that hashes: at about 35 ms a hash, the last still has its answer within 1.5 s.
const WAITING_PER_PERMIT: usize = 40;
/// How long a verification waits for its turn: below the two seconds in which every request is answered.
const MAX_WAIT: Duration = Duration::from_millis(1_500);
/// How long a password that is set waits for its turn: provisioning sets many at once, and no client waits for it.
const MAX_WAIT_TO_SET: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
#[error("too many passwords are being verified")]
struct Overloaded;

#[derive(Debug, thiserror::Error)]
#[error("password hashing failed: {0}")]
struct HashingFailed(String);

/// Hashes and verifies passwords away from the runtime's own threads.
#[derive(Clone)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Hash of a password that nobody has.
    nobody: Arc<OnceCell<String>>,
}

fn argon2() -> PortResult<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| PortError::Internal(Box::new(HashingFailed(error.to_string()))))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(cores * (WAITING_PER_PERMIT + 1))),
            nobody: Arc::default(),
        }
    }

    /// Runs one hashing job when it is its turn, unless `skip` gives its result by then.
    async fn run<T: Send + 'static>(
        &self,
        max_wait: Duration,
        skip: impl FnOnce() -> Option<T> + Send,
        job: impl FnOnce() -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let overloaded = || PortError::Unavailable(Box::new(Overloaded));
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let turn = tokio::time::timeout(max_wait, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| overloaded())?
            .map_err(|_| overloaded())?;
        if let Some(result) = skip() {
            return Ok(result);
        }
        // The turn goes with the job: a caller that goes away does not make room before the work is done.
        tokio::task::spawn_blocking(move || {
            let result = job();
            drop(turn);
            result
        })
        .await
        .map_err(|error| PortError::Internal(Box::new(error)))?
    }

    /// The hash of a password in PHC form, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> PortResult<String> {
        self.hash_within(MAX_WAIT_TO_SET, password).await
    }

    async fn hash_within(&self, max_wait: Duration, password: &str) -> PortResult<String> {
        let password = Zeroizing::new(password.to_owned());
        let never = || None;
        self.run(max_wait, never, move || {
            argon2()?
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| PortError::Internal(Box::new(HashingFailed(error.to_string()))))
        })
        .await
    }

    /// Whether the password belongs to the hash; without a hash it takes as long and is `false`. `done` is asked when it
    /// is this password's turn: `true` means that somebody verified it meanwhile.
    pub(crate) async fn verify(
        &self,
        phc: Option<String>,
        password: &str,
        done: impl FnOnce() -> bool + Send,
    ) -> PortResult<bool> {
        let known = phc.is_some();
        let phc = if let Some(phc) = phc {
            phc
        } else {
            let random = uuid::Uuid::new_v4().to_string();
            self.nobody.get_or_try_init(|| self.hash_within(MAX_WAIT, &random)).await?.clone()
        };
        let password = Zeroizing::new(password.to_owned());
        let skip = || done().then_some(true);
        self.run(MAX_WAIT, skip, move || {
            let hash = PasswordHash::new(&phc)
                .map_err(|error| PortError::Internal(Box::new(HashingFailed(error.to_string()))))?;
            Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_and_nobody_has_one() {
        let hasher = Hasher::new();
        let phc = hasher.hash("swordfish").await.expect("hashed");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(hasher.verify(Some(phc.clone()), "swordfish", || false).await.expect("verified"));
        assert!(!hasher.verify(Some(phc), "Swordfish", || false).await.expect("verified"));
        assert!(!hasher.verify(None, "swordfish", || false).await.expect("verified"));
    }

    #[tokio::test]
    async fn who_waited_for_his_turn_may_find_it_done() {
        let hasher = Hasher::new();
        // Nobody's password is never right, so only the answer of whoever was first can have come through.
        assert!(hasher.verify(None, "x", || true).await.expect("verified"));
        let all = u32::try_from(hasher.turns.available_permits()).expect("few");
        let turns = hasher.turns.clone().acquire_many_owned(all).await.expect("permits");
        let asked = std::sync::atomic::AtomicBool::new(false);
        let done = || {
            asked.store(true, std::sync::atomic::Ordering::SeqCst);
            true
        };
        let waiting = hasher.verify(None, "x", done);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there was no turn"),
            () = tokio::task::yield_now() => {}
        }
        assert!(!asked.load(std::sync::atomic::Ordering::SeqCst), "asked when it is the turn, not before");
        drop(turns);
        assert!(waiting.await.expect("verified"));
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused_rather_than_queued_for_ever() {
        let hasher = Hasher::new();
        let all = hasher
            .waiting
            .clone()
            .acquire_many_owned(u32::try_from(hasher.waiting.available_permits()).unwrap());
        let _all = all.await.expect("permits");
        assert!(matches!(hasher.verify(None, "x", || false).await, Err(PortError::Unavailable(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_is_set_waits_where_a_client_would_be_refused() {
        let hasher = Hasher::new();
        let all = u32::try_from(hasher.turns.available_permits()).expect("few");
        let turns = hasher.turns.clone().acquire_many_owned(all).await.expect("permits");
        let setting = hasher.hash("swordfish");
        tokio::pin!(setting);
        assert!(tokio::time::timeout(MAX_WAIT * 4, &mut setting).await.is_err(), "it still waits");
        assert!(matches!(hasher.verify(None, "x", || false).await, Err(PortError::Unavailable(_))));
        drop(turns);
        assert!(setting.await.is_ok());
    }
}
