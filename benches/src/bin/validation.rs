//! Validation of long-lived tokens in process on one core: every check anew, beside the bare verification of the same
//! signatures; and tokens that were checked a moment ago.

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_appserver::{Account, AccountKind, Credentials, PortResult, SystemClock, UserId};
use openadp_benches::{SERVER_CORE, median, pin, report, runs};
use openadp_keystore::{KeyStore, KeyType};
use openadp_settings::{Author, Change, Edit, Registry, Store};
use openadp_token::{Claims, issue};
use openadp_webcontainer::Authenticator;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Different tokens, each of another user: more than a cache line would flatter, fewer than are forgotten.
const TOKENS: usize = 1_000;
const EACH: Duration = Duration::from_secs(2);

/// An application server that knows everybody.
struct Everybody;

#[async_trait::async_trait]
impl Credentials for Everybody {
    async fn verify_password(&self, user: &UserId, _: &str) -> PortResult<Account> {
        self.account(user).await
    }
    async fn account(&self, user: &UserId) -> PortResult<Account> {
        let kind = AccountKind::Subscriber { provider: "acme".to_owned(), group: "north".to_owned() };
        Ok(Account { user_id: user.clone(), kind, password_expires_days: None })
    }
    async fn tokens_revoked_before(&self, _: &UserId) -> PortResult<Option<i64>> {
        Ok(None)
    }
    async fn revoke_tokens(&self, _: Option<&UserId>) -> PortResult<()> {
        Ok(())
    }
}

struct Bed {
    authenticator: Authenticator,
    keystore: Arc<KeyStore>,
    store: Arc<Store>,
    _folder: tempfile::TempDir,
}

impl Bed {
    fn new(kind: KeyType) -> Result<Self> {
        let modules = [openadp_token::MODULE, openadp_keystore::MODULE, openadp_webcontainer::MODULE];
        let store = Store::in_memory(Registry::new(modules)?);
        let folder = tempfile::tempdir()?;
        let keystore = KeyStore::open(folder.path(), store.machine_key().clone())?;
        keystore.rotate(kind)?;
        let accounts = Some(Arc::new(Everybody) as Arc<dyn Credentials>);
        let authenticator = Authenticator::new(&store, keystore.clone(), accounts, Arc::new(SystemClock));
        Ok(Self { authenticator, keystore, store, _folder: folder })
    }

    fn cache(&self, seconds: u32) -> Result<()> {
        let values = BTreeMap::from([("validationCacheInSeconds".to_owned(), Some(seconds.to_string()))]);
        let context = "ADP_CLI/Applications/AuthenticationService/TokenManagement".to_owned();
        let edits = vec![Edit::Set { context, key: Vec::new(), values }];
        let change = Change { author: Author("bench".to_owned()), comment: None, edits, force: false };
        self.store.commit(&change, UNIX_EPOCH.into()).map_err(|problems| anyhow!("{problems}"))?;
        Ok(())
    }

    async fn rate(&self, tokens: &[String]) -> Result<f64> {
        let (began, mut done) = (Instant::now(), 0_u32);
        while began.elapsed() < EACH {
            for token in tokens {
                self.authenticator.authenticate_token(token).await?;
                done += 1;
            }
        }
        Ok(f64::from(done) / began.elapsed().as_secs_f64())
    }
}

/// Bare verifications a second of the same signatures.
fn raw(bed: &Bed, kind: KeyType, tokens: &[String]) -> Result<f64> {
    let jwk = serde_json::to_value(bed.keystore.public_jwks())?["keys"][0].clone();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default());
    let key = if jwk["kty"] == "EC" {
        let point = [&[4_u8][..], &part("x")?, &part("y")?].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
    } else {
        let (n, e) = (part("n")?, part("e")?);
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'static> =
            aws_lc_rs::encoding::AsDer::as_der(&aws_lc_rs::rsa::PublicKeyComponents {
                n: n.as_slice(),
                e: e.as_slice(),
            })?;
        let padding =
            if kind == KeyType::RsaPss2048 { &RSA_PSS_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA256 };
        ParsedPublicKey::new(padding, spki.as_ref())
    };
    let key = key.map_err(|error| anyhow!("{error}"))?;
    let signed: Vec<(&str, Vec<u8>)> = tokens
        .iter()
        .map(|token| {
            let (text, signature) = token.rsplit_once('.').context("a signature")?;
            Ok((text, URL_SAFE_NO_PAD.decode(signature)?))
        })
        .collect::<Result<_>>()?;
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < EACH {
        for (text, signature) in &signed {
            key.verify_sig(text.as_bytes(), signature).map_err(|error| anyhow!("{error}"))?;
            done += 1;
        }
    }
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

fn main() -> Result<()> {
    pin(SERVER_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (kind, name) in
        [(KeyType::Rsa2048, "RS256"), (KeyType::RsaPss2048, "PS256"), (KeyType::P256, "ES256")]
    {
        let bed = Bed::new(kind)?;
        #[expect(clippy::disallowed_methods, reason = "the tokens must be valid now")]
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let tokens: Vec<String> = (0..TOKENS)
            .map(|n| {
                issue(
                    &bed.keystore,
                    &Claims::new("BroadWorks", &format!("user{n}@lab.example"), &["pwd"], now, 720),
                )
            })
            .collect::<Result<_, _>>()?;
        let (mut verify, mut uncached, mut cached) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs() {
            verify.push(raw(&bed, kind, &tokens)?);
            bed.cache(0)?;
            uncached.push(runtime.block_on(bed.rate(&tokens))?);
            bed.cache(60)?;
            cached.push(runtime.block_on(bed.rate(&tokens))?);
        }
        let (verify, uncached, cached) = (median(&verify), median(&uncached), median(&cached));
        report(&format!(
            "validation: {name} {uncached:.0}/s uncached, raw verify {verify:.0}/s, ratio {:.2}; cached {cached:.0}/s (aim 300000)",
            uncached / verify
        ));
    }
    Ok(())
}
