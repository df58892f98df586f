//! A program in a terminal, met as a person or an expect script would: keys in, what appears out.

use crate::PATIENCE;
use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// A terminal with a program in it. Killed when dropped.
pub struct Screen {
    keyboard: File,
    child: Child,
    /// What appeared and was not asked for yet.
    shown: String,
}

impl Screen {
    /// Starts a command in a terminal of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(mut command: Command) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let side = || -> Result<Stdio> {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            Ok(Stdio::from(rustix::fs::open(&name, flags, Mode::empty())?))
        };
        command.stdin(side()?).stdout(side()?).stderr(side()?);
        let child = command.spawn().context("starting a program in a terminal")?;
        // The command keeps the terminal's other side open; without it the end of the program is seen.
        drop(command);
        Ok(Self { keyboard: File::from(master), child, shown: String::new() })
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn keys(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("typing")
    }

    /// Pastes any amount of text at once, while what appears is read on.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn paste(&mut self, text: String) -> Result<()> {
        let mut keyboard = self.keyboard.try_clone()?;
        // A program that ends early takes the rest no more; that is for the test to see.
        std::thread::spawn(move || drop(keyboard.write_all(text.as_bytes())));
        Ok(())
    }

    /// Reads what appears; false at the end.
    fn more(&mut self) -> Result<bool> {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().try_into()?, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.keyboard, PollFlags::IN)], Some(&patience))? == 0 {
            bail!("nothing more appears after:\n{}", self.shown);
        }
        let mut bytes = [0; 4096];
        // The end of the program is an error of the terminal.
        let read = self.keyboard.read(&mut bytes).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()));
        Ok(read > 0)
    }

    /// Waits for a text; gives everything up to its end.
    ///
    /// # Errors
    /// When it does not appear.
    pub fn until(&mut self, text: &str) -> Result<String> {
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return Ok(std::mem::replace(&mut self.shown, rest));
            }
            if !self.more()? {
                bail!("the program ended without '{text}':\n{}", self.shown);
            }
        }
    }

    /// Waits for a prompt at the end of what appears; gives everything before it.
    ///
    /// # Errors
    /// When none appears.
    pub fn prompt(&mut self) -> Result<String> {
        loop {
            let begin = self.shown.rfind('\n').map_or(0, |at| at + 1);
            if self.shown.get(begin..).is_some_and(is_prompt) {
                let mut shown = std::mem::take(&mut self.shown);
                shown.truncate(begin);
                return Ok(shown);
            }
            if !self.more()? {
                bail!("the program ended without a prompt:\n{}", self.shown);
            }
        }
    }

    /// Types a line and waits for the next prompt; gives what appeared below the line.
    ///
    /// # Errors
    /// When no prompt appears.
    pub fn line(&mut self, line: &str) -> Result<String> {
        self.keys(&format!("{line}\r"))?;
        self.until("\n")?;
        Ok(self.prompt()?.replace("\r\n", "\n"))
    }

    /// Waits for the end of the program; gives what appeared and was not asked for.
    ///
    /// # Errors
    /// When it does not end.
    pub fn rest(&mut self) -> Result<String> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.shown))
    }

    /// Waits for the end of the program; gives its exit code.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(&mut self) -> Result<Option<i32>> {
        while self.more()? {}
        Ok(self.child.wait()?.code())
    }
}

/// `ADP_CLI/Level/Level> `, and nothing else.
fn is_prompt(line: &str) -> bool {
    let Some(path) = line.strip_suffix("> ") else { return false };
    let mut levels = path.split('/');
    let root = levels.next().is_some_and(|root| root == "ADP_CLI" || root == "AS_CLI");
    let name = |level: &str| {
        !level.is_empty() && level.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    root && levels.all(name)
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Nothing more can be done about a program that cannot be killed.
            drop(self.child.kill().and_then(|()| self.child.wait()));
        }
    }
}
