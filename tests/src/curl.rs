//! curl, as the HTTP client of the tests.

use anyhow::{Context as _, Result, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines as they came, without the status line.
    pub headers: String,
    /// Body.
    pub body: String,
}

impl Response {
    /// A header's value, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
    }

    /// The text between the first `<name>` (attributes allowed) and `</name>`.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        text_of(&self.body, name)
    }

    /// Fails with the whole answer unless the status is this one.
    ///
    /// # Errors
    /// Another status.
    pub fn expect_status(self, status: u16) -> Result<Self> {
        if self.status != status {
            bail!("expected {status}, got {}:\n{}\n{}", self.status, self.headers, self.body);
        }
        Ok(self)
    }
}

/// The text between the first `<name>` and `</name>` of a document.
pub(crate) fn text_of<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let start = document.find(&format!("<{name}>")).map(|at| at + name.len() + 2).or_else(|| {
        let at = document.find(&format!("<{name} "))?;
        document.get(at..)?.find('>').map(|close| at + close + 1)
    })?;
    let rest = document.get(start..)?;
    rest.get(..rest.find(&format!("</{name}>"))?)
}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Curl {
    ca: Option<PathBuf>,
    credentials: Option<(String, String)>,
    arguments: Vec<String>,
    secret_headers: Vec<String>,
    body: Option<String>,
}

impl Curl {
    /// A client that trusts this authority.
    pub fn new(ca: &Path) -> Self {
        Self {
            ca: Some(ca.to_owned()),
            credentials: None,
            arguments: Vec::new(),
            secret_headers: Vec::new(),
            body: None,
        }
    }
    /// Basic credentials.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }
    /// A bearer token.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.secret_headers.push(format!("Authorization: Bearer {token}"));
        self
    }
    /// A header line.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.secret_headers.push(line.to_owned());
        self
    }
    /// Any other arguments of curl.
    #[must_use]
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }
    /// A request body, sent as it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The command, with a configuration for standard input: no password shows in a process list.
    pub(crate) fn command(&self, method: &str, url: &str) -> (Command, String) {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--config",
            "-",
            "--request",
            method,
            "--path-as-is",
        ]);
        if let Some(ca) = &self.ca {
            command.arg("--cacert").arg(ca);
        }
        command.args(&self.arguments).arg(url);
        let mut config = String::new();
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        if let Some((user, password)) = &self.credentials {
            config.extend(["user = \"", &quoted(user), ":", &quoted(password), "\"\n"]);
        }
        for header in &self.secret_headers {
            config.extend(["header = \"", &quoted(header), "\"\n"]);
        }
        if let Some(body) = &self.body {
            config.extend(["data-raw = \"", &quoted(body), "\"\n"]);
        }
        (command, config)
    }

    /// Makes the request and gives the answer, whatever its status.
    ///
    /// # Errors
    /// When curl got no answer at all.
    pub fn send(&self, method: &str, url: &str) -> Result<Response> {
        let (mut command, config) = self.command(method, url);
        if method == "HEAD" {
            command.arg("--head");
        }
        command.args(["--dump-header", "/dev/stderr", "--write-out", "\n%{http_code}"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("standard input of curl")?.write_all(config.as_bytes())?;
        let output = child.wait_with_output()?;
        let (out, headers) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr).replace('\r', ""),
        );
        let (body, status) = out.rsplit_once('\n').context("curl's status line")?;
        let status: u16 = status.parse()?;
        if status == 0 {
            bail!("no answer from {method} {url}: {headers}");
        }
        let headers =
            headers.lines().filter(|line| !line.starts_with("HTTP/")).collect::<Vec<_>>().join("\n");
        Ok(Response { status, headers, body: body.to_owned() })
    }

    /// `GET`.
    ///
    /// # Errors
    /// When curl got no answer at all.
    pub fn get(&self, url: &str) -> Result<Response> {
        self.send("GET", url)
    }
    /// `PUT`.
    ///
    /// # Errors
    /// When curl got no answer at all.
    pub fn put(&self, url: &str) -> Result<Response> {
        self.send("PUT", url)
    }
    /// `POST`.
    ///
    /// # Errors
    /// When curl got no answer at all.
    pub fn post(&self, url: &str) -> Result<Response> {
        self.send("POST", url)
    }
    /// `DELETE`.
    ///
    /// # Errors
    /// When curl got no answer at all.
    pub fn delete(&self, url: &str) -> Result<Response> {
        self.send("DELETE", url)
    }
}
