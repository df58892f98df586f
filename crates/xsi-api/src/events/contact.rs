//! Addresses that events are posted to (xsi.md 5.9): which are allowed, and the task that posts.
//!
//! Each is a channel like any other to the machine, opened by a process instead of a client: so order, numbers, bounds,
//! moves from process to process and the full state after a loss hold for it too. A 2xx is its EventResponse.

use crate::api::MAX_ID;
use crate::delivery::Hub;
use crate::error::ApiError;
use crate::settings::{AllowedTarget, HttpContact};
use crate::{ContactSender, DeliveryKind, OpenChannel};
use openadp_appserver::Owner;
use openadp_settings::Live;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

/// Begins the names of sets that only processes open channels in. Documents cannot hold it, and requests with it are refused.
const MARK: char = '\u{1}';
/// Between the first two attempts; twice as long between the next, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The name of the set behind an address.
pub(crate) fn set_name(uri: &str) -> String {
    format!("{MARK}{uri}")
}

/// Reads an address: without scheme it means http, and the port is the scheme's where none is given.
pub(crate) fn parse(text: &str) -> Result<Url, ApiError> {
    let bad = |reason: &str| ApiError::BadDocument { reason: format!("httpContact: {reason}") };
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_ID {
        return Err(bad("empty or too long"));
    }
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|_| bad("no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("with a user, a password or a fragment"));
    }
    Ok(url)
}

/// Whether an operator allowed to post there. The name is compared, not where it leads: that is the operator's too.
pub(crate) fn is_allowed(url: &Url, rows: &[AllowedTarget]) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default();
    rows.iter().any(|row| {
        row.host.eq_ignore_ascii_case(host)
            && row.port.is_none_or(|allowed| Some(allowed) == port)
            && (url.scheme() == "https" || row.allow_plain_http)
    })
}

/// The id of an event, for its acknowledgement: our own envelope, whose first element it is.
fn event_id(document: &[u8]) -> Option<Uuid> {
    const BEFORE: &str = "<xsi:eventID>";
    let text = std::str::from_utf8(document).ok()?;
    let (_, rest) = text.split_once(BEFORE)?;
    rest.split('<').next()?.parse().ok()
}

/// What posting needs.
pub(crate) struct Poster {
    pub(crate) hub: Arc<Hub>,
    pub(crate) sender: Arc<dyn ContactSender>,
    pub(crate) settings: Live<HttpContact>,
    pub(crate) uri: Arc<str>,
    pub(crate) owner: Owner,
}

impl Poster {
    /// Posts what comes, one after the other, until the channel ends.
    pub(crate) async fn run(self, mut channel: OpenChannel) {
        while let Some(delivery) = channel.next().await {
            match delivery.kind {
                DeliveryKind::Event => {}
                // Nobody waits at the other end of this channel.
                DeliveryKind::Heartbeat | DeliveryKind::Terminated => continue,
            }
            let taken = self.post(&delivery.bytes).await;
            metrics::counter!("xsi_http_contacts_total", "result" => if taken { "taken" } else { "refused" })
                .increment(1);
            // The last event of a subscription waits for no answer.
            if let Some(event) = event_id(&delivery.bytes) {
                let status = if taken { 200 } else { 500 };
                self.hub.step(|machine, now| machine.acknowledge(now, event, status, &self.owner));
            }
        }
    }

    async fn post(&self, document: &bytes::Bytes) -> bool {
        let settings = self.settings.load();
        let timeout = Duration::from_millis(u64::from(settings.timeout_in_milliseconds));
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=settings.maximum_attempts {
            // Looked at each time: what an operator takes back is not posted to any more.
            let Ok(url) = parse(&self.uri) else { return false };
            if !is_allowed(&url, &self.hub.allowed_targets()) {
                return false;
            }
            if self.sender.post(url.to_string(), document.clone(), timeout).await {
                return true;
            }
            if attempt < settings.maximum_attempts {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(host: &str, port: Option<u16>, allow_plain_http: bool) -> AllowedTarget {
        AllowedTarget { host: host.to_owned(), port, allow_plain_http }
    }

    #[test]
    fn only_what_is_listed_is_posted_to() {
        let rows =
            [row("app.example", None, false), row("10.0.0.1", Some(8080), true), row("::1", None, true)];
        for (uri, allowed) in [
            ("https://app.example/hook", true),
            ("https://APP.example:8443/hook?x=1", true),
            ("http://app.example/hook", false),
            ("app.example/hook", false),
            ("https://app.example.evil/hook", false),
            ("https://sub.app.example/", false),
            ("http://10.0.0.1:8080/", true),
            ("10.0.0.1:8080/hook", true),
            ("https://10.0.0.1:8080/", true),
            ("http://10.0.0.1/", false),
            ("http://[::1]:9/", true),
            ("http://169.254.169.254/latest", false),
        ] {
            let url = parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
            assert_eq!(is_allowed(&url, &rows), allowed, "{uri}");
        }
        for bad in [
            "",
            "ftp://app.example/",
            "https://user@app.example/",
            "https://user:p@app.example/",
            "file:///etc/passwd",
            "https://app.example/#x",
            "http://",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(!is_allowed(&parse("https://app.example/").expect("a URL"), &[]), "nothing without a list");
    }

    #[test]
    fn events_are_known_by_their_id() {
        let id = Uuid::from_u128(7);
        let document = format!("<?xml?>\n<xsi:Event><xsi:eventID>{id}</xsi:eventID>");
        assert_eq!(event_id(document.as_bytes()), Some(id));
        assert_eq!(event_id(b"<xsi:eventID>"), None);
    }

    proptest! {
        #[test]
        fn any_address_can_be_looked_at(text in "\\PC{0,60}") {
            if let Ok(url) = parse(&text) {
                prop_assert!(!is_allowed(&url, &[row("nowhere.invalid", None, true)]) || url.host_str() == Some("nowhere.invalid"));
            }
        }
    }
}
