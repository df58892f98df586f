//! A CTI client: `openssl s_client` carries the bytes, so the TLS side is not ours.

use crate::{Document, PATIENCE};
use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

/// An open CTI connection.
pub struct CtiClient {
    child: Child,
    input: ChildStdin,
    messages: Receiver<String>,
    next: u32,
}

impl CtiClient {
    /// Connects with TLS and, where given, a client certificate and its key.
    ///
    /// # Errors
    /// When `openssl` does not start.
    pub fn connect(address: &str, ca: &Path, certificate: Option<(&Path, &Path)>) -> Result<Self> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-connect", address, "-CAfile"]).arg(ca);
        if let Some((certificate, key)) = certificate {
            command.arg("-cert").arg(certificate).arg("-key").arg(key);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take().context("standard input of openssl")?;
        let mut output = child.stdout.take().context("standard output of openssl")?;
        let (send, messages) = sync_channel(100_000);
        std::thread::spawn(move || {
            let (mut buffer, mut chunk) = (String::new(), [0_u8; 16 * 1024]);
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                buffer.push_str(&String::from_utf8_lossy(&chunk[..count]));
                while let Some(end) = ["</xsp:response>", "</xsp:event>", "</xsp:keepaliveResponse>"]
                    .iter()
                    .filter_map(|end| buffer.find(end).map(|at| at + end.len()))
                    .min()
                {
                    let message: String = buffer.drain(..end).collect();
                    if send.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self { child, input, messages, next: 1 })
    }

    /// Sends a request of a wrapper and gives the response; events that come before it are kept out of it and lost, so
    /// send requests before events are expected.
    ///
    /// # Errors
    /// When the connection ends or patience does.
    pub fn request(
        &mut self,
        wrapper: &str,
        method: &str,
        uri: &str,
        parameters: &str,
        payload: &str,
    ) -> Result<String> {
        let id = self.next;
        self.next += 1;
        let message = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"18.0\"><requestId>{id}</requestId><sessionId>s1</sessionId><cti:{wrapper} xmlns:cti=\"http://schema.broadsoft.com/CTI\"><uri>{uri}</uri><method>{method}</method><version>22.0</version><params>{parameters}</params><payload>{payload}</payload></cti:{wrapper}></xsp:request>\n"
        );
        self.send(&message)?;
        loop {
            let answer = self.next_message()?;
            if answer.contains("<xsp:response") && answer.contains(&format!("<requestId>{id}</requestId>")) {
                return Ok(answer);
            }
        }
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.input.write_all(text.as_bytes())?;
        self.input.flush().context("writing to the CTI connection")
    }

    /// The next message of any kind.
    ///
    /// # Errors
    /// When the connection ends or patience does.
    pub fn next_message(&self) -> Result<String> {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Timeout) => bail!("nothing on the CTI connection within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the CTI connection ended"),
        }
    }

    /// The next event, acknowledged.
    ///
    /// # Errors
    /// When the connection ends or patience does.
    pub fn next_event(&mut self) -> Result<Document> {
        loop {
            let message = self.next_message()?;
            if !message.contains("<xsp:event ") {
                continue;
            }
            let document = Document(message);
            let request = document.text_of("requestId").context("an event without requestId")?.to_owned();
            if let Some(event) = document.text_of("xsi:eventID").map(str::to_owned) {
                self.send(&format!(
                    "<xsp:eventResponse xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"17.0\"><requestId>{request}</requestId><xsp:payload><EventResponse xmlns=\"http://schema.broadsoft.com/xsi\"><eventID>{event}</eventID><statusCode>200</statusCode><reason>OK</reason></EventResponse></xsp:payload></xsp:eventResponse>\n"
                ))?;
            }
            return Ok(document);
        }
    }

    /// Passes over events until one of this type.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for(&mut self, event_type: &str) -> Result<Document> {
        loop {
            let event = self.next_event().with_context(|| format!("waiting for {event_type}"))?;
            if event.event_type() == Some(event_type) {
                return Ok(event);
            }
        }
    }
}

impl Drop for CtiClient {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_ok() {}
    }
}
