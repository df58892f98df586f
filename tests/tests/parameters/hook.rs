//! An address that events are posted to: what comes, when, and what it is answered.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::PATIENCE;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Says nothing at all, in place of a status.
pub(crate) const SILENT: u16 = 0;

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    posted: Mutex<Vec<(Instant, String)>>,
    changed: Condvar,
}

/// Listens until the test ends.
pub(crate) struct Hook {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Hook {
    pub(crate) fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { status: AtomicU16::new(200), ..Shared::default() });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Ok(Self { port, shared })
    }

    /// What it answers from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// What was posted, once it was so many.
    pub(crate) fn posted(&self, count: usize) -> Result<Vec<(Instant, String)>> {
        let posted = self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.changed.wait_timeout_while(posted, PATIENCE, |posted| posted.len() < count);
        let (posted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ensure!(posted.len() >= count, "{} of {count} posts came", posted.len());
        Ok(posted.clone())
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().context("a length")?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8(body)?;
        shared.posted.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), body));
        shared.changed.notify_all();
        match shared.status.load(Ordering::SeqCst) {
            // Until the other side has enough of it.
            SILENT => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            status => write!(reader.get_mut(), "HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n")?,
        }
    }
}
