//! Tokens at twice the rate that one core can sustain, sent by the clock whether answers come or not: how many are still made,
//! and how soon the others are told to come back.

use anyhow::{Context as _, Result, bail, ensure};
use openadp_benches::{CLIENT_CORE, basic, percentile, pin, pinned_lab, report, wrk_latency};
use openadp_suite::Lab;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECTIONS: u32 = 256;
const SECONDS: u64 = 8;

/// What came of the requests of one connection.
#[derive(Default)]
struct Tally {
    good: u32,
    told_ms: Vec<f64>,
    late: u32,
}

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 0",
    ])?;
    let alice = lab.subscriber(0);
    let key = std::process::Command::new("sh")
        .args(["-c", "openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -outform DER | openssl base64 -A | tr '+/' '-_' | tr -d ="])
        .output()?;
    let key = String::from_utf8(key.stdout)?.trim().to_owned();
    let url = format!("{}/token?key={key}", lab.text("auth_service"));
    let authorization = basic(&alice.user_id, &alice.password);
    let (peak, p99) = wrk_latency(&url, std::slice::from_ref(&authorization), 32, None)?;
    pin(std::process::id(), CLIENT_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request =
        format!("GET /authService/token?key={key} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n\r\n");
    let tally = runtime.block_on(flood(&lab, request.into(), peak * 2.0))?;
    let seconds = u32::try_from(SECONDS)?;
    let goodput = f64::from(tally.good) / f64::from(seconds);
    report(&format!(
        "overload: peak {peak:.0}/s (p99 {p99:.1} ms); at twice that {goodput:.0}/s are made, ratio {:.2} (aim 0.9); {} told to come back, p99 {:.1} ms (aim 50); {} not sent in time",
        goodput / peak,
        tally.told_ms.len(),
        percentile(&tally.told_ms, 0.99),
        tally.late
    ));
    Ok(())
}

async fn flood(lab: &Lab, request: Arc<str>, rate: f64) -> Result<Tally> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(lab.ca())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let address = lab.text("auth_service").split('/').nth(2).context("a host")?.to_owned();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        open.push(connector.connect(ServerName::try_from("localhost")?, stream).await?);
    }
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let began = Instant::now();
    let running: Vec<_> = open
        .into_iter()
        .zip(0_u32..)
        .map(|(stream, at)| {
            let request = request.clone();
            let first = began + every.mul_f64(f64::from(at) / f64::from(CONNECTIONS));
            #[expect(clippy::disallowed_methods, reason = "a benchmark waits for its own tasks")]
            tokio::spawn(one(stream, request, first, every, began + Duration::from_secs(SECONDS)))
        })
        .collect();
    let mut all = Tally::default();
    for task in running {
        let tally = task.await??;
        all.good += tally.good;
        all.late += tally.late;
        all.told_ms.extend(tally.told_ms);
    }
    Ok(all)
}

async fn one(
    mut stream: TlsStream<TcpStream>,
    request: Arc<str>,
    mut next: Instant,
    every: Duration,
    end: Instant,
) -> Result<Tally> {
    let (mut tally, mut buffer) = (Tally::default(), Vec::with_capacity(8192));
    while next < end {
        tokio::time::sleep_until(next).await;
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        match answer(&mut stream, &mut buffer).await? {
            200 => tally.good += u32::from(Instant::now() <= end),
            429 | 503 => tally.told_ms.push(sent.elapsed().as_secs_f64() * 1e3),
            status => bail!("answered {status}"),
        }
        next += every;
        while next + every < Instant::now() {
            // The connection was busy: this one was never sent.
            next += every;
            tally.late += 1;
        }
    }
    Ok(tally)
}

/// The status of the next answer, read whole.
async fn answer(stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> Result<u16> {
    buffer.clear();
    loop {
        let head = buffer.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
            let length: usize = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                .context("no length")?;
            if buffer.len() >= head + 4 + length {
                let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
                return status.context("no status");
            }
        }
        ensure!(stream.read_buf(buffer).await? > 0, "the connection ended");
    }
}
