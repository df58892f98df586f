//! An HTTP interface without TLS, added to a lab while it runs: requests can be written byte by byte.

use crate::{Account, Lab, PATIENCE, Raw, Response};
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::{Duration, Instant};

/// Which port of the lab's block it takes; the lab itself uses the first eight.
const OFFSET: u16 = 23;

/// The interface.
pub struct Plain {
    /// Its port.
    pub port: u16,
    witness: Account,
}

impl Plain {
    /// Adds the interface through `adpcli`.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open(lab: &Lab) -> Result<Self> {
        let port = lab.port_base() + OFFSET;
        lab.administer(&[&format!(
            "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost false false"
        )])?;
        Ok(Self { port, witness: lab.subscriber(7) })
    }

    /// A connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(&self) -> Result<Raw> {
        Raw::connect(self.port)
    }

    /// The `Authorization` line of an account.
    pub fn basic(account: &Account) -> String {
        format!(
            "Authorization: Basic {}",
            STANDARD.encode(format!("{}:{}", account.user_id, account.password))
        )
    }

    /// The bytes of a request.
    pub fn bytes(method: &str, path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !body.is_empty() {
            head.push_str("Content-Length: ");
            head.push_str(&body.len().to_string());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        [head.as_bytes(), body].concat()
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Result<Response> {
        let mut connection = self.connect()?;
        // The answer to a body that is too large may come, and the connection end, before the body is written.
        let sent = connection.send(Self::bytes(method, path, headers, body));
        let answer = connection.response();
        if answer.is_err() {
            sent?;
        }
        answer
    }

    /// The same with an account's credentials.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn request_as(
        &self,
        account: &Account,
        method: &str,
        path: &str,
        body: impl AsRef<[u8]>,
    ) -> Result<Response> {
        self.request(method, path, &[&Self::basic(account)], body)
    }

    /// Asserts that somebody else is served as ever.
    ///
    /// # Errors
    /// When not, or not soon.
    pub fn others_are_served(&self) -> Result<()> {
        let began = Instant::now();
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", self.witness.user_id);
        self.request_as(&self.witness, "GET", &path, "")?.expect_status(200)?;
        // Every request is answered within two seconds; a loaded machine gets some more before this is a failure.
        let limit = Duration::from_secs(5).min(PATIENCE);
        ensure!(began.elapsed() < limit, "another client waited {:?}", began.elapsed());
        Ok(())
    }
}
