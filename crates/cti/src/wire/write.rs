//! Messages to bytes (cti.md 2 and 3): declaration, document, line feed; empty elements as pairs.

use super::ENVELOPE_NAMESPACE;
use bytes::Bytes;
use openadp_xsi_schema::{Element, XmlStyle, escape_into};

/// The declaration, without a line feed: a peer that reads line by line gets one message a line.
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
/// Version of the envelope's schema.
const VERSION: &str = " version=\"17.0\"";

/// The response to a request.
pub fn response(
    request_id: &str,
    session_id: &str,
    status: u16,
    reason: &str,
    document: Option<&Element>,
) -> Bytes {
    let mut out = begin("response", VERSION, 512);
    element(&mut out, "requestId", request_id);
    element(&mut out, "sessionId", session_id);
    element(&mut out, "statusCode", &status.to_string());
    element(&mut out, "reason", reason);
    match document {
        Some(document) => {
            out.push_str("<xsp:payload>");
            document.write_xml(&mut out, XmlStyle::PLAIN_CTI);
            out.push_str("</xsp:payload>");
        }
        None => out.push_str("<xsp:emptyPayload></xsp:emptyPayload>"),
    }
    end(out, "response")
}

/// An event; the payload is a bare `xsi:Event` element whose bytes are not changed.
pub fn event(request_id: &str, payload: &[u8]) -> Bytes {
    let mut out = begin("event", VERSION, payload.len() + 256);
    element(&mut out, "requestId", request_id);
    out.push_str("<xsp:payload>");
    let mut out = out.into_bytes();
    out.extend_from_slice(payload);
    out.extend_from_slice(b"</xsp:payload></xsp:event>\n");
    Bytes::from(out)
}

/// A sign of life; `period` is the time until the next one, seconds.
pub fn keepalive(request_id: &str, period: u64) -> Bytes {
    let mut out = begin("keepalive", VERSION, 256);
    element(&mut out, "requestId", request_id);
    element(&mut out, "period", &period.to_string());
    end(out, "keepalive")
}

/// The answer to a sign of life.
pub fn keepalive_response(request_id: &str) -> Bytes {
    let mut out = begin("keepaliveResponse", "", 256);
    element(&mut out, "requestId", request_id);
    end(out, "keepaliveResponse")
}

fn begin(root: &str, attributes: &str, capacity: usize) -> String {
    let mut out = String::with_capacity(capacity);
    for part in [DECLARATION, "<xsp:", root, " xmlns:xsp=\"", ENVELOPE_NAMESPACE, "\"", attributes, ">"] {
        out.push_str(part);
    }
    out
}

fn element(out: &mut String, name: &str, text: &str) {
    for part in ["<", name, ">"] {
        out.push_str(part);
    }
    escape_into(out, text);
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

fn end(mut out: String, root: &str) -> Bytes {
    for part in ["</xsp:", root, ">\n"] {
        out.push_str(part);
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_xsi_schema::{Channel, Document, EventForm, ReadLimits, error_event, read_xml};

    #[test]
    fn golden() {
        let channel = Channel { channel_id: Some("0b6f".into()), expires: Some(7200), ..Channel::default() };
        let cases = [
            (
                response("1", "s<77", 200, "OK", Some(&channel.to_element())),
                include_str!("../../tests/golden/response.xml"),
            ),
            (
                response("2", "s", 401, "Unauthorized", None),
                include_str!("../../tests/golden/response-empty.xml"),
            ),
            (
                response("3", "s", 200, "OK", Some(&Element::new("Calls"))),
                include_str!("../../tests/golden/response-calls.xml"),
            ),
            (
                event("e-1", &error_event(400, "no", EventForm::Cti)),
                include_str!("../../tests/golden/event.xml"),
            ),
            (keepalive("k-9", 60), include_str!("../../tests/golden/keepalive.xml")),
            (keepalive_response("k-9"), include_str!("../../tests/golden/keepalive-response.xml")),
        ];
        for (bytes, golden) in cases {
            assert_eq!(String::from_utf8_lossy(&bytes), golden);
            assert!(read_xml(&bytes, &ReadLimits::default()).is_ok());
        }
    }
}
