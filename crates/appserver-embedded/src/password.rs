//! Passwords at rest: argon2id, bounded in parallelism, and equal work for accounts that do not exist.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use openadp_appserver::{PortError, PortResult};
use std::sync::{Arc, Mutex, PoisonError};
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
    memory: Memory,
}

/// The blocks that hashing works in, kept between hashes. Given back to the allocator they would stay with each thread that
/// ever hashed, 19 MiB apiece; kept here there are never more than turns.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Vec<Block>>>>);

impl Memory {
    fn hash(&self, argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<Output, HashingFailed> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut blocks = kept.unwrap_or_default();
        blocks.resize(argon2.params().block_count(), Block::default());
        let mut out = [0_u8; Params::DEFAULT_OUTPUT_LEN];
        let hashed = argon2.hash_password_into_with_memory(password, salt, &mut out, &mut blocks);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
        hashed.map_err(failed)?;
        Output::new(&out).map_err(failed)
    }

    /// The hash of a password in PHC form, with a salt of its own.
    fn make(&self, password: &[u8]) -> Result<String, HashingFailed> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = Salt::generate();
        let hash = self.hash(&argon2, password, &salt)?;
        let made = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(argon2.params()).map_err(failed)?,
            salt: Some(salt),
            hash: Some(hash),
        };
        Ok(made.to_string())
    }

    /// Whether the password belongs to a hash in PHC form.
    fn verify(&self, password: &[u8], phc: &str) -> Result<bool, HashingFailed> {
        let known = PasswordHash::new(phc).map_err(failed)?;
        let (Some(salt), Some(hash)) = (&known.salt, &known.hash) else {
            return Err(HashingFailed("the hash has no salt or no output".to_owned()));
        };
        let algorithm = Algorithm::try_from(known.algorithm.as_str()).map_err(failed)?;
        let version = known.version.map(Version::try_from).transpose().map_err(failed)?.unwrap_or_default();
        let argon2 = Argon2::new(algorithm, version, Params::try_from(&known).map_err(failed)?);
        // Compared in constant time by its type.
        Ok(self.hash(&argon2, password, salt)? == *hash)
    }
}

fn failed(error: impl std::fmt::Display) -> HashingFailed {
    HashingFailed(error.to_string())
}

fn internal(error: HashingFailed) -> PortError {
    PortError::Internal(Box::new(error))
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(cores * (WAITING_PER_PERMIT + 1))),
            nobody: Arc::default(),
            memory: Memory::default(),
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
        let memory = self.memory.clone();
        self.run(max_wait, never, move || memory.make(password.as_bytes()).map_err(internal)).await
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
        let memory = self.memory.clone();
        self.run(MAX_WAIT, skip, move || {
            let right = memory.verify(password.as_bytes(), &phc).map_err(internal)?;
            Ok(right && known)
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

    #[test]
    fn hashes_are_those_of_everybody() {
        let memory = Memory::default();
        let hash = memory.make(b"password").expect("hashed");
        let standard = PasswordHash::new(&hash).expect("PHC");
        assert!(
            argon2::PasswordVerifier::verify_password(&Argon2::default(), b"password", &standard).is_ok()
        );
        assert!(memory.verify(b"password", &hash).expect("verified"));
        // Other parameters, as an older release may have written them.
        let other =
            Argon2::new(Algorithm::Argon2i, Version::V0x10, Params::new(64, 3, 2, None).expect("valid"));
        let other = argon2::PasswordHasher::hash_password(&other, b"password").expect("hashed").to_string();
        assert!(memory.verify(b"password", &other).expect("verified"), "{other}");
        assert!(!memory.verify(b"passw0rd", &other).expect("verified"), "{other}");
        assert!(memory.verify(b"password", "$argon2id$v=19$m=19456,t=2,p=1").is_err());
        assert_eq!(memory.0.lock().expect("unpoisoned").len(), 1, "one at a time needs one");
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
