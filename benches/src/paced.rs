//! Requests sent by the clock, whether answers come or not, over kept TLS connections: what a closed loop cannot show.

use anyhow::{Context as _, Result, bail, ensure};
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

/// What came of the requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Milliseconds of each that was answered 200 in time, from when it was due.
    pub good_ms: Vec<f64>,
    /// Milliseconds until the others were told to come back, from when they were sent.
    pub told_ms: Vec<f64>,
    /// Those that were not sent, because their connection was busy when the next was due.
    pub late: u32,
}

/// Sends `rate` requests a second over so many connections for this time; each connection repeats one of the requests, as the
/// bytes that go to the lab's AuthenticationService.
///
/// # Errors
/// A connection breaks, or an answer is none of 200, 429 and 503.
pub async fn paced(
    lab: &Lab,
    requests: &[String],
    connections: u32,
    rate: f64,
    time: Duration,
) -> Result<Tally> {
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
    for _ in 0..connections {
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        open.push(connector.connect(ServerName::try_from("localhost")?, stream).await?);
    }
    let every = Duration::from_secs_f64(f64::from(connections) / rate);
    let began = Instant::now();
    let running: Vec<_> = open
        .into_iter()
        .zip(requests.iter().cycle())
        .zip(0_u32..)
        .map(|((stream, request), at)| {
            let first = began + every.mul_f64(f64::from(at) / f64::from(connections));
            #[expect(clippy::disallowed_methods, reason = "a benchmark waits for its own tasks")]
            tokio::spawn(one(stream, request.clone(), first, every, began + time))
        })
        .collect();
    // A client that sleeps between answers would charge each of its awakenings to the server's core.
    #[expect(clippy::disallowed_methods, reason = "a benchmark ends its own tasks")]
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let mut all = Tally::default();
    for task in running {
        let tally = task.await??;
        all.good_ms.extend(tally.good_ms);
        all.late += tally.late;
        all.told_ms.extend(tally.told_ms);
    }
    awake.abort();
    Ok(all)
}

async fn one(
    mut stream: TlsStream<TcpStream>,
    request: String,
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
            200 if Instant::now() <= end => tally.good_ms.push(next.elapsed().as_secs_f64() * 1e3),
            200 => {}
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
