//! An XSI event channel held open by curl.

use crate::curl::text_of;
use crate::{Curl, PATIENCE};
use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Instant;

/// One document of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(pub String);

impl Document {
    /// The type of an event's data, `CallReceivedEvent` say; the event's own type where it has no data.
    pub fn event_type(&self) -> Option<&str> {
        let data = self.0.find("<xsi:eventData ").and_then(|at| self.0.get(at..)).unwrap_or(&self.0);
        let start = data.find("type=\"xsi:")? + "type=\"xsi:".len();
        data.get(start..)?.split('"').next()
    }
    /// Text of the first element with this name, prefix included.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        text_of(&self.0, name)
    }
    /// Whether it is the server's heartbeat, byte for byte.
    pub fn is_heartbeat(&self) -> bool {
        self.0
            == "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>"
    }
}

/// An open channel.
pub struct EventChannel {
    child: Child,
    documents: Receiver<Document>,
    /// Id that the server gave.
    pub channel_id: String,
    curl: Curl,
    events_url: String,
    acknowledge: bool,
}

impl EventChannel {
    /// Opens a channel of this set: `curl` streams it.
    ///
    /// # Errors
    /// When no `Channel` document comes.
    pub fn open(curl: &Curl, events_url: &str, channel_set_id: &str) -> Result<Self> {
        Self::open_with(
            curl,
            events_url,
            &format!("<channelSetId>{channel_set_id}</channelSetId><expires>3600</expires>"),
        )
    }

    /// Opens a channel with these children of the `Channel` document.
    ///
    /// # Errors
    /// When no `Channel` document comes.
    pub fn open_with(curl: &Curl, events_url: &str, children: &str) -> Result<Self> {
        let stream_url =
            events_url.replace("/com.broadsoft.xsi-events", "/com.broadsoft.async/com.broadsoft.xsi-events");
        let request = curl.clone().args(["--no-buffer", "--max-time", "300"]).body(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Channel xmlns=\"http://schema.broadsoft.com/xsi\">{children}</Channel>"
        ));
        let (mut command, config) = request.command("POST", &format!("{stream_url}/v2.0/channel"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        child.stdin.take().context("standard input of curl")?.write_all(config.as_bytes())?;
        let mut output = child.stdout.take().context("standard output of curl")?;
        let (send, documents) = sync_channel(100_000);
        std::thread::spawn(move || {
            let (mut buffer, mut chunk) = (Vec::new(), [0_u8; 16 * 1024]);
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                buffer.extend_from_slice(&chunk[..count]);
                while let Some(length) = complete(&buffer) {
                    let document: Vec<u8> = buffer.drain(..length).collect();
                    if send.send(Document(String::from_utf8_lossy(&document).into_owned())).is_err() {
                        return;
                    }
                }
            }
        });
        let mut channel = Self {
            child,
            documents,
            channel_id: String::new(),
            curl: curl.clone(),
            events_url: events_url.to_owned(),
            acknowledge: true,
        };
        let first = channel.next_document()?;
        let channel_id = first.text_of("channelId").with_context(|| format!("no channelId in {first:?}"))?;
        channel.channel_id.push_str(channel_id);
        Ok(channel)
    }

    /// Stops acknowledging events.
    pub fn stay_silent(&mut self) {
        self.acknowledge = false;
    }

    /// The next document of the stream, whatever it is.
    ///
    /// # Errors
    /// When the stream ends or patience does.
    pub fn next_document(&self) -> Result<Document> {
        match self.documents.recv_timeout(PATIENCE) {
            Ok(document) => Ok(document),
            Err(RecvTimeoutError::Timeout) => bail!("nothing on the channel within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the channel's stream ended"),
        }
    }

    /// The next event, acknowledged; heartbeats are passed over.
    ///
    /// # Errors
    /// When the stream ends, patience does, or the acknowledgement is refused.
    pub fn next_event(&self) -> Result<Document> {
        loop {
            let document = self.next_document()?;
            if document.is_heartbeat() {
                continue;
            }
            if let (true, Some(event_id)) = (self.acknowledge, document.text_of("xsi:eventID")) {
                self.respond(event_id, 200)?;
            }
            return Ok(document);
        }
    }

    /// Passes over events until one of this type; fails at the end of patience.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for(&self, event_type: &str) -> Result<Document> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            let event =
                self.next_event().with_context(|| format!("waiting for {event_type}, saw {seen:?}"))?;
            if event.event_type() == Some(event_type) {
                return Ok(event);
            }
            seen.push(event.event_type().unwrap_or("?").to_owned());
        }
        bail!("no {event_type}, saw {seen:?}")
    }

    /// Passes over events and heartbeats until the server closes the stream; gives what came.
    ///
    /// # Errors
    /// When the stream stays open.
    pub fn until_end(&self) -> Result<Vec<Document>> {
        let mut all = Vec::new();
        loop {
            match self.documents.recv_timeout(PATIENCE) {
                Ok(document) => all.push(document),
                Err(RecvTimeoutError::Disconnected) => return Ok(all),
                Err(RecvTimeoutError::Timeout) => bail!("the stream stays open after {all:?}"),
            }
        }
    }

    /// Sends an event response.
    ///
    /// # Errors
    /// When it is not answered with 200.
    pub fn respond(&self, event_id: &str, status: u16) -> Result<()> {
        self.curl
            .clone()
            .body(format!(
                "<EventResponse xmlns=\"http://schema.broadsoft.com/xsi\"><eventID>{event_id}</eventID><statusCode>{status}</statusCode><reason>test</reason></EventResponse>"
            ))
            .post(&format!("{}/v2.0/channel/eventresponse", self.events_url))?
            .expect_status(200)
            .map(|_| ())
    }

    /// The client's heartbeat.
    ///
    /// # Errors
    /// When it is not answered with 200.
    pub fn heartbeat(&self) -> Result<()> {
        let url = format!("{}/v2.0/channel/{}/heartbeat", self.events_url, self.channel_id);
        self.curl.put(&url)?.expect_status(200).map(|_| ())
    }

    /// Adds a subscription and gives its id.
    ///
    /// # Errors
    /// When it is refused.
    pub fn subscribe(&self, target: &str, package: &str, channel_set_id: &str) -> Result<String> {
        let response = self
            .curl
            .clone()
            .body(format!(
                "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>{package}</event><expires>3600</expires><channelSetId>{channel_set_id}</channelSetId><applicationId>tests</applicationId></Subscription>"
            ))
            .post(&format!("{}/v2.0/{target}", self.events_url))?
            .expect_status(200)?;
        Ok(response.text_of("subscriptionId").context("no subscriptionId")?.to_owned())
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_ok() {}
    }
}

/// Length of the first complete document in the buffer. Knows the stream's three kinds of document only.
fn complete(buffer: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(buffer);
    ["</xsi:Event>", "</Channel>", "<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>"]
        .iter()
        .filter_map(|end| text.find(end).map(|at| at + end.len()))
        .min()
}
