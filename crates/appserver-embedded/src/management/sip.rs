//! A SIP message as an operator pastes it: as much of it as its way and the proxy policies need. RFC 3261, 7 and 20

/// Most headers; more is no message that anybody traces.
const MAX_HEADERS: usize = 256;
/// Short names of headers (RFC 3261 7.3.3 and the table of IANA).
const SHORT: &[(&str, &str)] = &[
    ("a", "Accept-Contact"),
    ("c", "Content-Type"),
    ("d", "Request-Disposition"),
    ("e", "Content-Encoding"),
    ("f", "From"),
    ("i", "Call-ID"),
    ("j", "Reject-Contact"),
    ("k", "Supported"),
    ("l", "Content-Length"),
    ("m", "Contact"),
    ("o", "Event"),
    ("r", "Refer-To"),
    ("s", "Subject"),
    ("t", "To"),
    ("u", "Allow-Events"),
    ("v", "Via"),
    ("x", "Session-Expires"),
    ("y", "Identity"),
];
/// Headers whose values are option tags.
const OF_TAGS: [&str; 4] = ["Supported", "Require", "Proxy-Require", "Unsupported"];

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Request { method: String, uri: String },
    Response { status: String },
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) start: Start,
    /// Whole names and values, in order.
    pub(super) headers: Vec<(String, String)>,
}

impl Message {
    /// Reads the first line and the headers; what follows an empty line is not looked at.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut lines =
            text.lines().map(str::trim_end).enumerate().skip_while(|(_, line)| line.trim().is_empty());
        let (_, first) = lines.next().ok_or("there is no message")?;
        let words: Vec<&str> = first.split_whitespace().collect();
        let start = match words.as_slice() {
            ["SIP/2.0", status, ..] if status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) => {
                Start::Response { status: words.get(1..).unwrap_or_default().join(" ") }
            }
            [method, uri, "SIP/2.0"] if method.bytes().all(|b| b.is_ascii_uppercase()) => {
                Start::Request { method: (*method).to_owned(), uri: (*uri).to_owned() }
            }
            _ => return Err(format!("'{}' begins no SIP message", shown(first))),
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        for (number, line) in lines {
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                // A long value goes on in the next line.
                let (_, value) = headers.last_mut().ok_or("a message does not begin with a blank")?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
            };
            let (name, value) = line
                .split_once(':')
                .map(|(name, value)| (name.trim(), value.trim()))
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| format!("line {} is no header: '{}'", number + 1, shown(line)))?;
            if headers.len() == MAX_HEADERS {
                return Err(format!("there are more than {MAX_HEADERS} headers"));
            }
            let whole = SHORT.iter().find(|(short, _)| short.eq_ignore_ascii_case(name));
            headers.push((whole.map_or(name, |(_, whole)| whole).to_owned(), value.to_owned()));
        }
        Ok(Self { start, headers })
    }

    /// The value of the first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The option tags, each once, with the headers that have them.
    pub(super) fn option_tags(&self) -> Vec<(String, &'static str)> {
        let mut tags: Vec<(String, &'static str)> = Vec::new();
        for header in OF_TAGS {
            let values = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header));
            for tag in
                values.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|tag| !tag.is_empty())
            {
                if !tags.iter().any(|(own, known)| own.eq_ignore_ascii_case(tag) && *known == header) {
                    tags.push((tag.to_owned(), header));
                }
            }
        }
        tags
    }

    /// Who calls: the identity that the network vouches for, else what the caller says.
    pub(super) fn caller(&self) -> Option<Identity> {
        ["P-Asserted-Identity", "From"].iter().find_map(|name| Identity::of(self.header(name)?))
    }

    /// Who is called: of a request where it goes, of an answer where it comes from.
    pub(super) fn called(&self) -> Option<Identity> {
        match &self.start {
            Start::Request { uri, .. } => Identity::of(uri),
            Start::Response { .. } => Identity::of(self.header("To")?),
        }
    }
}

/// The part of a line that a message of ours repeats.
fn shown(line: &str) -> String {
    line.chars().take(60).flat_map(char::escape_debug).collect()
}

/// Whom a URI means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// What stands before the @, or the number.
    pub(super) user: String,
    /// User and host in one.
    pub(super) address: String,
}

impl Identity {
    /// Of a `sip`, `sips` or `tel` URI, alone or in a header with a name and parameters.
    pub(super) fn of(value: &str) -> Option<Self> {
        let uri = match value.split_once('<') {
            Some((_, rest)) => rest.split_once('>')?.0,
            None => value.split(';').next()?.trim(),
        };
        let (scheme, rest) = uri.split_once(':')?;
        let rest = rest.split(['?']).next()?;
        match scheme.to_ascii_lowercase().as_str() {
            "tel" => {
                let number: String =
                    rest.split(';').next()?.chars().filter(|c| !"-.() ".contains(*c)).collect();
                (!number.is_empty()).then(|| Self { user: number.clone(), address: number })
            }
            "sip" | "sips" => {
                let (user, host) = rest.split_once('@')?;
                let user = user.split([';', ':']).next()?;
                let host = host.split([';', ':']).next()?;
                (!user.is_empty() && !host.is_empty())
                    .then(|| Self { user: user.to_owned(), address: format!("{user}@{host}") })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INVITE: &str = "INVITE sip:+12025550102@lab.example;user=phone SIP/2.0\r\n\
        v: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1\r\n\
        f: \"Alice\" <sip:alice@lab.example:5060;transport=udp>;tag=1\r\n\
        To: <sip:+12025550102@lab.example>\r\n\
        Subject: one\r\n  two\r\n\
        k: 100rel, timer\r\nRequire: 100rel\r\n\
        \r\nv=0\r\nnot a header\r\n";

    fn identity(user: &str, address: &str) -> Identity {
        Identity { user: user.to_owned(), address: address.to_owned() }
    }

    #[test]
    fn a_message_is_read_as_the_rfc_has_it() {
        let message = Message::parse(INVITE).unwrap();
        assert!(matches!(&message.start, Start::Request { method, .. } if method == "INVITE"));
        assert_eq!(message.headers.len(), 6);
        assert_eq!(message.header("via"), Some("SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1"));
        assert_eq!(message.header("subject"), Some("one two"));
        assert_eq!(message.caller(), Some(identity("alice", "alice@lab.example")));
        assert_eq!(message.called(), Some(identity("+12025550102", "+12025550102@lab.example")));
        let tags = message.option_tags();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(tag, of)| (tag.as_str(), *of)).collect();
        assert_eq!(tags, [("100rel", "Supported"), ("timer", "Supported"), ("100rel", "Require")]);
        let answer =
            Message::parse("SIP/2.0 180 Ringing\nTo: tel:+1-202-555-0102;phone-context=x\n").unwrap();
        assert_eq!(answer.start, Start::Response { status: "180 Ringing".to_owned() });
        assert_eq!(answer.called(), Some(identity("+12025550102", "+12025550102")));
        let vouched = "INVITE sip:a@b SIP/2.0\nFrom: <sip:x@y>\nP-Asserted-Identity: <sip:z@y>\n";
        assert_eq!(Message::parse(vouched).unwrap().caller(), Some(identity("z", "z@y")));
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_line() {
        for (text, reason) in [
            ("", "there is no message"),
            ("\n\n", "there is no message"),
            ("hello", "'hello' begins no SIP message"),
            ("INVITE sip:a@b HTTP/1.1", "begins no SIP message"),
            ("SIP/2.0 2x0 OK", "begins no SIP message"),
            ("INVITE sip:a@b SIP/2.0\n folded", "begin with a blank"),
            ("INVITE sip:a@b SIP/2.0\nFrom: x\nno header", "line 3 is no header: 'no header'"),
        ] {
            assert!(Message::parse(text).is_err_and(|told| told.contains(reason)), "{text}");
        }
        let many = format!("INVITE sip:a@b SIP/2.0\n{}", "X: y\n".repeat(MAX_HEADERS + 1));
        assert!(Message::parse(&many).is_err());
    }

    proptest! {
        #[test]
        fn no_text_upsets_it(text in "\\PC{0,40}(\r?\n\\PC{0,40}){0,8}") {
            if let Ok(message) = Message::parse(&text) {
                let _seen = (message.caller(), message.called(), message.option_tags());
            }
        }

        #[test]
        fn no_value_upsets_an_identity(value in "(sip:|tel:)?\\PC{0,40}") {
            let _seen = Identity::of(&value);
        }
    }
}
