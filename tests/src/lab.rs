//! A lab of its own for a test.

use crate::resolver::behind;
use crate::{Curl, EventChannel, PortBlock, Running, binary};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A subscriber or administrator of the lab.
#[derive(Debug, Clone)]
pub struct Account {
    /// User id.
    pub user_id: String,
    /// Password.
    pub password: String,
    /// Extension, for subscribers.
    pub extension: String,
    /// Enterprise, for subscribers.
    pub enterprise: String,
}

/// A lab below a folder of its own, on ports of its own.
pub struct Lab {
    /// What `adp lab --describe` says.
    pub description: Value,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The running `adp lab`; none where only its data directory is used.
    pub process: Option<Running>,
    ports: PortBlock,
    /// Words before the lab's own commands.
    prefix: Vec<OsString>,
    _folder: tempfile::TempDir,
}

impl Lab {
    /// Seeds a lab without starting it.
    ///
    /// # Errors
    /// When `adp lab --describe` fails.
    pub fn seed() -> Result<Self> {
        Self::seed_in(tempfile::tempdir()?)
    }

    /// Seeds a lab in a folder that the test chose, without starting it.
    ///
    /// # Errors
    /// When `adp lab --describe` fails.
    pub fn seed_in(folder: tempfile::TempDir) -> Result<Self> {
        let ports = PortBlock::reserve()?;
        let data_dir = folder.path().join("data");
        let mut lab = Self {
            description: Value::Null,
            data_dir,
            process: None,
            ports,
            prefix: Vec::new(),
            _folder: folder,
        };
        lab.description = lab.describe()?;
        Ok(lab)
    }

    /// Seeds and starts a lab; returns when it says that it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start() -> Result<Self> {
        let mut lab = Self::seed()?;
        lab.run()?;
        Ok(lab)
    }

    /// The same with words before its commands and those of `adpcli`: on one processor only, say, or with a name server of
    /// the test's.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_behind(prefix: Vec<OsString>) -> Result<Self> {
        let mut lab = Self::seed()?;
        lab.prefix = prefix;
        lab.run()?;
        Ok(lab)
    }

    /// Starts (again) a seeded lab.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn run(&mut self) -> Result<()> {
        let running = Running::start(self.command(&["lab"]))?;
        running.wait_for("The lab is ready")?;
        self.process = Some(running);
        Ok(())
    }

    /// `adp` with these words, on the lab's data directory and ports.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary("adp"));
        command
            .args(words)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--port-base")
            .arg(self.ports.base().to_string());
        behind(&self.prefix, command)
    }

    /// What `adp lab --describe` prints now.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub fn describe(&self) -> Result<Value> {
        let output = self.command(&["lab", "--describe"]).output().context("running adp lab --describe")?;
        if !output.status.success() {
            bail!("adp lab --describe: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("reading what adp lab --describe prints")
    }

    /// First port of the lab's block; it uses eight, the others are the test's.
    pub fn port_base(&self) -> u16 {
        self.ports.base()
    }
    /// A text of the description, `xsi_actions` say.
    pub fn text(&self, name: &str) -> &str {
        self.description[name].as_str().unwrap_or_default()
    }
    /// The lab's authority.
    pub fn ca(&self) -> &Path {
        Path::new(self.text("ca"))
    }
    /// A subscriber by place in the list.
    pub fn subscriber(&self, index: usize) -> Account {
        Self::account(&self.description["subscribers"][index])
    }
    /// An administrator whose level begins with this word.
    pub fn administrator(&self, level: &str) -> Account {
        let found = self.description["administrators"].as_array().and_then(|all| {
            all.iter().find(|a| a["level"].as_str().is_some_and(|l| l.to_lowercase().starts_with(level)))
        });
        Self::account(found.unwrap_or(&Value::Null))
    }
    fn account(value: &Value) -> Account {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Account {
            user_id: text("user_id"),
            password: text("password"),
            extension: text("extension"),
            enterprise: text("enterprise"),
        }
    }
    /// curl with an account's credentials.
    pub fn curl(&self, account: &Account) -> Curl {
        Curl::new(self.ca()).basic(&account.user_id, &account.password)
    }
    /// URL of a subscriber's resource on Xsi-Actions.
    pub fn user_url(&self, account: &Account, resource: &str) -> String {
        format!("{}/v2.0/user/{}/{resource}", self.text("xsi_actions"), account.user_id)
    }
    /// Opens an event channel as this account.
    ///
    /// # Errors
    /// When it is refused.
    pub fn channel(&self, account: &Account, channel_set_id: &str) -> Result<EventChannel> {
        EventChannel::open(&self.curl(account), self.text("xsi_events"), channel_set_id)
    }

    /// Runs `adpcli` on the lab's data directory with these commands, each by `-c`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn adpcli(&self, commands: &[&str]) -> Result<Output> {
        self.adpcli_with(&[], commands)
    }

    /// The same with flags.
    ///
    /// # Errors
    /// When it does not start.
    pub fn adpcli_with(&self, flags: &[&str], commands: &[&str]) -> Result<Output> {
        let mut cli = Command::new(binary("adpcli"));
        cli.args(flags);
        cli.arg("--data-dir").arg(&self.data_dir).stdin(std::process::Stdio::null());
        for command in commands {
            cli.args(["-c", command]);
        }
        behind(&self.prefix, cli).output().context("running adpcli")
    }

    /// Runs `adpcli` commands that must succeed; gives what was printed.
    ///
    /// # Errors
    /// When one is refused.
    pub fn administer(&self, commands: &[&str]) -> Result<String> {
        let output = self.adpcli(commands)?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{commands:?}: {}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(printed)
    }
}
