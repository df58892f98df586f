//! Tokens issued a second on one core over keep-alive TLS, RS256 and ES256: beside what `openssl speed` signs on the same
//! core, beside what the crypto library alone signs there, and beside the npm package oidc-provider, where node is there.

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use openadp_benches::{SERVER_CORE, basic, client_key, median, pin, pinned_lab, report, runs, wrk_latency};
use openadp_suite::{Lab, repository};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONNECTIONS: u32 = 32;

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 0",
    ])?;
    let alice = lab.subscriber(0);
    let url = format!("{}/token?key={}", lab.text("auth_service"), client_key()?);
    let headers = [basic(&alice.user_id, &alice.password)];
    for (kind, algorithm, aim, bits) in
        [("RSA-2048", "RS256", 0.85, "rsa2048"), ("P-256", "ES256", 0.35, "ecdsap256")]
    {
        lab.administer(&[&format!(
            "ADP_CLI/Applications/AuthenticationService/KeyManagement> rotate {kind}"
        )])?;
        let (mut ours, mut slowest, mut signs, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut library = Vec::new();
        for _ in 0..runs() {
            let (rate, p99) = wrk_latency(&url, &headers, CONNECTIONS, None)?;
            ours.push(rate);
            slowest.push(p99);
            signs.push(openssl_signs(bits)?);
            library.push(library_signs(algorithm)?);
            if let Some(reference) = Reference::start(&lab, algorithm)? {
                theirs.push(reference.rate()?);
            }
        }
        let (ours, p99, signs) = (median(&ours), median(&slowest), median(&signs));
        report(&format!(
            "tokens: {algorithm} {ours:.0}/s, p99 {p99:.1} ms (aim below 60 with {CONNECTIONS} connections); openssl speed {signs:.0} signs/s, ratio {:.2} (aim {aim})",
            ours / signs
        ));
        let library = median(&library);
        report(&format!(
            "tokens: {algorithm} aws-lc alone {library:.0} signs/s, {:.2} of openssl; ours {:.2} of that",
            library / signs,
            ours / library
        ));
        if theirs.is_empty() {
            report("tokens: oidc-provider is not installed (npm ci in benches/oidc-provider)");
        } else {
            let theirs = median(&theirs);
            report(&format!("tokens: {algorithm} oidc-provider {theirs:.0}/s, ratio {:.2}", ours / theirs));
        }
    }
    Ok(())
}

/// Signs a second by the library that all our private keys live in, on the server's core: the ceiling of any service that is
/// built on it.
fn library_signs(algorithm: &str) -> Result<f64> {
    let message = [7_u8; 400];
    let random = SystemRandom::new();
    let sign: Box<dyn Fn() -> Result<()> + Send> = if algorithm == "RS256" {
        let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
        Box::new(move || {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature).map_err(|error| anyhow!("{error}"))
        })
    } else {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Box::new(move || key.sign(&random, &message).map(|_| ()).map_err(|error| anyhow!("{error}")))
    };
    pin(SERVER_CORE)?;
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(3) {
        sign()?;
        done += 1;
    }
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

fn openssl_signs(kind: &str) -> Result<f64> {
    let output = Command::new("taskset")
        .args(["-c", SERVER_CORE, "openssl", "speed", "-seconds", "3", "-mr", kind])
        .output()
        .context("running openssl speed")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "+F2:2:2048:<signs a second>:<verifications a second>", "+F4:3:256:..." for ECDSA
    let signs: f64 = text
        .lines()
        .find_map(|line| {
            line.strip_prefix("+F2:").or(line.strip_prefix("+F4:"))?.split(':').nth(2)?.parse().ok()
        })
        .with_context(|| format!("no figure in {text}"))?;
    // Before 3.0 the figure was the seconds one sign takes.
    Ok(if signs < 1.0 { 1.0 / signs } else { signs })
}

/// oidc-provider on the server's core, with the lab's certificate.
struct Reference {
    child: Child,
    port: u16,
}

impl Reference {
    fn start(lab: &Lab, algorithm: &str) -> Result<Option<Self>> {
        let folder = repository().join("benches/oidc-provider");
        if !folder.join("node_modules").is_dir() {
            return Ok(None);
        }
        let port = lab.port_base() + 21;
        let certificates = lab.data_dir.join("lab/certificates");
        let child = Command::new("taskset")
            .args(["-c", SERVER_CORE, "node", "server.mjs", &port.to_string(), algorithm])
            .arg(certificates.join("server-rsa.key"))
            .arg(certificates.join("server-rsa.crt"))
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting node")?;
        let reference = Self { child, port };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "oidc-provider does not listen");
            std::thread::yield_now();
        }
        Ok(Some(reference))
    }

    fn rate(&self) -> Result<f64> {
        let script = "wrk.method = 'POST'\nwrk.body = 'grant_type=client_credentials'\n\
                      wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'\n";
        let headers = [basic("bench", "bench-secret-of-nobody")];
        let url = format!("https://127.0.0.1:{}/token", self.port);
        Ok(wrk_latency(&url, &headers, CONNECTIONS, Some(script))?.0)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
