//! The six messages (cti.md 3), matched by local name: clients differ in prefixes, one leaves the wrapper's out.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use openadp_settings::Secret;
use openadp_xsi_schema::{Element, ReadError, ReadLimits, read_xml};

/// Longest requestId or sessionId, bytes: tokens of the client that are kept and sent back.
const MAX_TOKEN: usize = 256;
/// Longest credentials: a token of 8 KiB and its scheme (authservice.md 8, rule 1).
const MAX_CREDENTIALS: usize = 8 * 1024 + 16;
/// Most parameters of a request; the longest template has eight.
const MAX_PARAMETERS: usize = 32;

/// Clients pad or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A message from a client.
#[derive(Debug)]
pub enum Inbound {
    /// A request.
    Request(Box<Request>),
    /// An answer to an event.
    EventResponse {
        /// Id of the event message.
        request_id: String,
        /// The `EventResponse` document, if there is one.
        document: Option<Element>,
    },
    /// A sign of life; wants an answer.
    Keepalive {
        /// Goes back with the answer.
        request_id: String,
        /// Seconds until the next one; 0 for no promise.
        period: u64,
    },
    /// The answer to ours.
    KeepaliveResponse,
    /// A well-formed document that a client does not send: ignored and counted.
    Unexpected,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Chosen by the client, goes back with the response.
    pub request_id: String,
    /// The client's name for a user context on this connection; goes back too.
    pub session_id: String,
    /// Its credentials.
    pub presented: Presented,
    /// What is asked for, or why that cannot be told.
    pub call: Result<Call, EnvelopeError>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Local name of the wrapper.
    pub wrapper: String,
    /// The URI template.
    pub uri: String,
    /// The method, as it came.
    pub method: String,
    /// Parameters by name.
    pub params: Vec<(String, String)>,
    /// The inner document.
    pub document: Option<Element>,
}

/// Credentials of a request (cti.md 4.1). Do not print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// None, or empty ones.
    None,
    /// A whole `Authorization` value; `credentials` are brought into this form.
    Authorization(Secret),
    /// A user id and a token.
    SingleSignOn {
        /// The user id.
        user: String,
        /// The token.
        token: Secret,
    },
    /// Something that cannot be credentials.
    Malformed,
}

/// Why a request cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// requestId or sessionId is too long.
    #[error("requestId or sessionId is too long")]
    TokenTooLong,
    /// There is no wrapper.
    #[error("the request element is missing")]
    NoWrapper,
    /// There is no uri.
    #[error("uri is missing")]
    NoUri,
    /// There is no method.
    #[error("method is missing")]
    NoMethod,
    /// There are too many parameters.
    #[error("there are too many parameters")]
    TooManyParameters,
}

/// Reads one document that a [`super::Framer`] cut out. Safe to call on anything (a fuzz target does).
///
/// # Errors
/// The document is not well-formed or exceeds a limit: the stream cannot be read on.
pub fn parse(document: &[u8], limits: &ReadLimits) -> Result<Inbound, ReadError> {
    let root = read_xml(document, limits)?;
    Ok(match root.name.as_ref() {
        "request" => Inbound::Request(Box::new(request(&root))),
        "eventResponse" => Inbound::EventResponse {
            request_id: token(&root, "requestId").unwrap_or_default(),
            document: root.child("payload").and_then(|payload| payload.children().first()).cloned(),
        },
        "keepalive" => Inbound::Keepalive {
            request_id: token(&root, "requestId").unwrap_or_default(),
            period: root.child_text("period").and_then(|text| text.parse().ok()).unwrap_or(0),
        },
        "keepaliveResponse" => Inbound::KeepaliveResponse,
        _ => Inbound::Unexpected,
    })
}

/// A token that is not too long.
fn token(root: &Element, name: &str) -> Result<String, EnvelopeError> {
    let text = root.child_text(name).unwrap_or_default();
    if text.len() > MAX_TOKEN { Err(EnvelopeError::TokenTooLong) } else { Ok(text.to_owned()) }
}

fn request(root: &Element) -> Request {
    let request_id = token(root, "requestId");
    let session_id = token(root, "sessionId");
    let presented = presented(root);
    let fault = [&request_id, &session_id].into_iter().find_map(|token| token.as_ref().err().copied());
    Request {
        request_id: request_id.unwrap_or_default(),
        session_id: session_id.unwrap_or_default(),
        presented,
        call: fault.map_or_else(|| call(root), Err),
    }
}

fn presented(root: &Element) -> Presented {
    let text = |name: &str| root.child_text(name).filter(|text| !text.is_empty());
    if let Some(text) = text("authorization") {
        if text.len() > MAX_CREDENTIALS {
            return Presented::Malformed;
        }
        return Presented::Authorization(Secret::new(text));
    }
    if let Some(text) = text("credentials") {
        return match joined(text) {
            Some(encoded) => Presented::Authorization(Secret::new(format!("Basic {}", encoded.expose()))),
            None => Presented::Malformed,
        };
    }
    match text("ssoCredentials") {
        Some(text) => single_sign_on(text).unwrap_or(Presented::Malformed),
        None => Presented::None,
    }
}

/// Base64 as it came, line breaks taken out.
fn joined(text: &str) -> Option<Secret> {
    (text.len() <= MAX_CREDENTIALS).then(|| Secret::new(text.split_ascii_whitespace().collect::<String>()))
}

fn single_sign_on(text: &str) -> Option<Presented> {
    let decoded = BASE64.decode(joined(text)?.expose()).ok()?;
    let decoded = Secret::new(String::from_utf8(decoded).ok()?);
    let (user, token) = decoded.expose().split_once(':')?;
    Some(Presented::SingleSignOn { user: user.to_owned(), token: Secret::new(token) })
}

fn call(root: &Element) -> Result<Call, EnvelopeError> {
    const OTHERS: [&str; 5] = ["requestId", "sessionId", "credentials", "ssoCredentials", "authorization"];
    let wrapper = root
        .children()
        .iter()
        .find(|child| !OTHERS.contains(&child.name.as_ref()))
        .ok_or(EnvelopeError::NoWrapper)?;
    let text = |name: &str| wrapper.child_text(name).filter(|text| !text.is_empty());
    let params = wrapper.child("params").map_or(&[][..], Element::children);
    if params.len() > MAX_PARAMETERS {
        return Err(EnvelopeError::TooManyParameters);
    }
    Ok(Call {
        wrapper: wrapper.name.clone().into_owned(),
        uri: text("uri").ok_or(EnvelopeError::NoUri)?.to_owned(),
        method: text("method").ok_or(EnvelopeError::NoMethod)?.to_owned(),
        params: params
            .iter()
            .map(|param| (param.name.clone().into_owned(), param.trimmed_text().to_owned()))
            .collect(),
        document: wrapper.child("payload").and_then(|payload| payload.children().first()).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Inbound {
        parse(text.as_bytes(), &ReadLimits::default()).expect("reads")
    }

    fn read_request(text: &str) -> Request {
        match read(text) {
            Inbound::Request(request) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_request_of_the_whole_session() {
        let request = read_request(include_str!("../../tests/golden/add-channel.xml"));
        assert_eq!((request.request_id.as_str(), request.session_id.as_str()), ("1", "s-77"));
        assert_eq!(
            request.presented,
            Presented::Authorization(Secret::new("Basic b3BzQGV4YW1wbGUubmV0OnNlY3JldA=="))
        );
        let call = request.call.expect("a call");
        assert_eq!((call.wrapper.as_str(), call.method.as_str()), ("AddChannelRequest", "POST"));
        assert_eq!(call.uri, "/com.broadsoft.xsi-events/v2.0/channel");
        let document = call.document.expect("a document");
        assert_eq!((document.name.as_ref(), document.child_text("weight")), ("Channel", Some("50")));
    }

    #[test]
    fn wrappers_without_namespace_and_credentials_of_every_form() {
        let with = |credentials: &str| {
            read_request(&format!(
                "<request><requestId>1</requestId><sessionId/>{credentials}<HoldRequest><uri>u</uri><method>PUT</method>\
                 <version/><params><callid> 7 </callid></params><payload/></HoldRequest></request>"
            ))
        };
        assert_eq!(with("").presented, Presented::None);
        assert_eq!(with("<credentials/>").presented, Presented::None);
        assert_eq!(
            with("<credentials>YTpi\n</credentials>").presented,
            Presented::Authorization(Secret::new("Basic YTpi"))
        );
        assert_eq!(
            with("<authorization>Bearer x.y.z</authorization>").presented,
            Presented::Authorization(Secret::new("Bearer x.y.z"))
        );
        assert_eq!(
            with("<ssoCredentials>YTpiOmM=</ssoCredentials>").presented,
            Presented::SingleSignOn { user: "a".into(), token: Secret::new("b:c") }
        );
        assert_eq!(with("<ssoCredentials>!</ssoCredentials>").presented, Presented::Malformed);
        let call = with("").call.expect("a call");
        assert_eq!(call.params, [("callid".to_owned(), "7".to_owned())]);
        assert_eq!(call.document, None);
    }

    #[test]
    fn what_lacks_something() {
        let fault = |inner: &str| {
            read_request(&format!(
                "<request><requestId>1</requestId><sessionId>s</sessionId>{inner}</request>"
            ))
            .call
            .expect_err("refused")
        };
        assert_eq!(fault(""), EnvelopeError::NoWrapper);
        assert_eq!(fault("<HoldRequest/>"), EnvelopeError::NoUri);
        assert_eq!(fault("<HoldRequest><uri>u</uri></HoldRequest>"), EnvelopeError::NoMethod);
        let params = "<p>1</p>".repeat(33);
        assert_eq!(
            fault(&format!("<A><uri>u</uri><method>GET</method><params>{params}</params></A>")),
            EnvelopeError::TooManyParameters
        );
        let long = read_request(&format!("<request><requestId>{}</requestId></request>", "x".repeat(300)));
        assert_eq!((long.request_id.as_str(), long.call), ("", Err(EnvelopeError::TokenTooLong)));
    }

    #[test]
    fn the_other_messages() {
        assert!(matches!(
            read("<x:keepalive xmlns:x='u' version='17.0'><requestId>k-9</requestId><period>60</period></x:keepalive>"),
            Inbound::Keepalive { request_id, period: 60 } if request_id == "k-9"
        ));
        assert!(matches!(read("<keepalive/>"), Inbound::Keepalive { period: 0, .. }));
        assert!(matches!(read("<keepaliveResponse/>"), Inbound::KeepaliveResponse));
        assert!(matches!(read("<response/>"), Inbound::Unexpected));
        let Inbound::EventResponse { request_id, document } =
            read(include_str!("../../tests/golden/event-response.xml"))
        else {
            panic!("not an event response")
        };
        assert_eq!(request_id, "e-1");
        assert_eq!(
            document.and_then(|document| document.child_text("statusCode").map(str::to_owned)),
            Some("200".into())
        );
    }

    #[test]
    fn credentials_do_not_print() {
        let request = read_request("<request><authorization>Bearer hunter2</authorization></request>");
        assert!(!format!("{request:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _result = parse(&bytes, &ReadLimits::default());
        }
    }
}
