//! Processes under test.

use crate::PATIENCE;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, PathBuf::from)
}

/// A built binary. `ADP_TEST_BIN_DIR` names another folder (a release build, for benchmarks).
pub fn binary(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a switch of the harness, not of the suite")]
    if let Ok(folder) = std::env::var("ADP_TEST_BIN_DIR") {
        return PathBuf::from(folder).join(name);
    }
    let mut folder = std::env::current_exe().unwrap_or_default();
    while folder.pop() {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return candidate;
        }
    }
    repository().join("target/debug").join(name)
}

/// The Python that has the clients; `./run-tests` makes it.
///
/// # Errors
/// When it is not there.
pub fn python() -> Result<PathBuf> {
    let python = repository().join("tests/.venv/bin/python");
    if !python.exists() {
        bail!("{} is missing: run ./run-tests once, it installs the clients", python.display());
    }
    Ok(python)
}

/// A running process whose standard output and error are read line by line. Killed when dropped.
pub struct Running {
    child: Child,
    /// Behind a lock, so that several threads of a test may use one lab.
    lines: Mutex<Receiver<String>>,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// Starts a command.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        let (send, lines) = sync_channel(100_000);
        let log = Arc::new(Mutex::new(String::new()));
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().context("standard output")?),
            Box::new(child.stderr.take().context("standard error")?),
        ];
        for output in outputs {
            let (send, log) = (send.clone(), log.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Ok(mut log) = log.lock() {
                        log.push_str(&line);
                        log.push('\n');
                    }
                    // A full queue means nobody waits for lines any more; the log still has them.
                    if send.try_send(line).is_err() {}
                }
            });
        }
        Ok(Self { child, lines: Mutex::new(lines), log })
    }

    /// Waits for a line that contains the text.
    ///
    /// # Errors
    /// When the process ends first or patience does; the error holds everything it printed.
    pub fn wait_for(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_line(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no '{text}' within {PATIENCE:?}:\n{}", self.log()),
                Err(RecvTimeoutError::Disconnected) => bail!("ended without '{text}':\n{}", self.log()),
            }
        }
    }

    /// Waits for lines that contain the texts, in whatever order they come.
    ///
    /// # Errors
    /// As of [`Self::wait_for`].
    pub fn wait_for_all(&self, texts: &[&str]) -> Result<()> {
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let line = self.wait_for("").with_context(|| format!("still missing: {missing:?}"))?;
            missing.retain(|text| !line.contains(text));
        }
        Ok(())
    }

    fn next_line(&self, patience: Duration) -> Result<String, RecvTimeoutError> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience)
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, `TERM` or `KILL`.
    ///
    /// # Errors
    /// When `kill` fails.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status()?;
        if !status.success() {
            bail!("kill -{name} failed");
        }
        Ok(())
    }

    /// Kills it as a crash would, and waits until it and everybody who shares its outputs is gone.
    ///
    /// # Errors
    /// When something still runs at the end of patience.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the process")?;
        self.wait().map(|_| ())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When patience ends first.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        // Both readers hang up when the process (and whoever shares its outputs) ends.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_line(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self.child.wait().context("waiting for the process");
                }
                Err(RecvTimeoutError::Timeout) => bail!("still running after {PATIENCE:?}:\n{}", self.log()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // TERM first, so that a lab takes its children along; then make sure.
            if self.signal("TERM").is_ok() {
                while let Ok(_) | Err(RecvTimeoutError::Timeout) = self.next_line(Duration::from_secs(10)) {
                    if !matches!(self.child.try_wait(), Ok(None)) {
                        return;
                    }
                }
            }
            if self.child.kill().is_ok() && self.child.wait().is_ok() {}
        }
    }
}
