//! What the tests of both stand-ins share: a certificate, keys, signed tokens, and curl.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests; each file uses a part"
)]

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openadp_standins::{Environment, TlsPair};
use serde_json::Value;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) environment: Environment,
    /// Seconds since 1970.
    pub(crate) clock: Arc<AtomicI64>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.environment.shutdown.cancel();
    }
}

pub(crate) fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let certified =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("ca.pem"), certified.cert.pem()).unwrap();
    let clock = Arc::new(AtomicI64::new(NOW));
    let read = clock.clone();
    let environment = Environment {
        bind: "127.0.0.1:0".parse().unwrap(),
        tls: TlsPair { certificates: certified.cert.pem(), key: certified.signing_key.serialize_pem() },
        clock: Arc::new(move || read.load(Ordering::SeqCst) * 1000),
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        sink: None,
    };
    Bench { directory, environment, clock }
}

/// A key pair: private key for signing, public key in PEM.
pub(crate) struct Pair {
    pub(crate) signing: EncodingKey,
    pub(crate) public: String,
}

pub(crate) fn p256() -> Pair {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    Pair {
        signing: EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap(),
        public: key.public_key_pem(),
    }
}

pub(crate) fn rsa() -> Pair {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    Pair {
        signing: EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).unwrap(),
        public: key.public_key_pem(),
    }
}

pub(crate) fn sign(pair: &Pair, algorithm: Algorithm, key_id: &str, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(key_id.to_owned());
    jsonwebtoken::encode(&header, claims, &pair.signing).unwrap()
}

/// What curl got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) version: String,
    pub(crate) body: Value,
    pub(crate) headers: String,
    /// curl's own exit code.
    pub(crate) exit: i32,
}

impl Got {
    pub(crate) fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }
}

/// Runs curl with the bench's certificate.
pub(crate) async fn curl(bench: &Bench, arguments: &[&str], body: Option<&[u8]>) -> Got {
    let headers = bench.directory.path().join(format!("headers-{}", uuid()));
    let mut command = tokio::process::Command::new("curl");
    command
        .args([
            "--silent",
            "--max-time",
            "10",
            "--noproxy",
            "*",
            "--write-out",
            "\n%{http_code} %{http_version}",
        ])
        .arg("--cacert")
        .arg(bench.directory.path().join("ca.pem"))
        .arg("--dump-header")
        .arg(&headers)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if body.is_some() {
        command.args(["--data-binary", "@-"]);
    }
    let mut child = command.spawn().expect("curl is installed");
    let mut stdin = child.stdin.take().unwrap();
    if let Some(body) = body {
        tokio::io::AsyncWriteExt::write_all(&mut stdin, body).await.unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, last) = text.rsplit_once('\n').unwrap();
    let (status, version) = last.split_once(' ').unwrap();
    Got {
        status: status.parse().unwrap(),
        version: version.to_owned(),
        body: serde_json::from_str(body).unwrap_or_default(),
        headers: std::fs::read_to_string(&headers).unwrap_or_default(),
        exit: output.status.code().unwrap_or(-1),
    }
}

fn uuid() -> u64 {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst).unsigned_abs()
}
