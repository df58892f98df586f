//! URI templates with their parameters to a path and a query (cti.md 3).

use super::envelope::Call;
use openadp_xsi_api::Application;

/// Longest template, bytes.
const MAX_TEMPLATE: usize = 4096;
/// Contexts in front of the application's: the async tree, or a prefix of the deployment's own (xsi.md 1.1).
const MAX_PREFIXES: usize = 2;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Application, by the context of the URI.
    pub application: Application,
    /// Path after `/v2.0/`, encoded.
    pub path: String,
    /// Query, encoded; empty when there is none.
    pub query: String,
}

/// Why a template does not give a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// It is too long.
    #[error("uri is too long")]
    TooLong,
    /// It does not begin with the context of an application and a version.
    #[error("uri is not below /com.broadsoft.xsi-actions/v2.0/ or /com.broadsoft.xsi-events/v2.0/")]
    UnknownContext,
    /// A placeholder of the path has no parameter.
    #[error("parameter {name} is missing")]
    MissingParameter {
        /// Name of the placeholder: letters and digits.
        name: String,
    },
}

/// Expands the template of a request. Names match without regard to case; a path placeholder without parameter takes
/// the only parameter that no placeholder names. Items of the query without parameter are dropped. An already expanded
/// URI passes.
///
/// # Errors
/// See [`ExpandError`].
pub fn expand(call: &Call) -> Result<Target, ExpandError> {
    if call.uri.len() > MAX_TEMPLATE {
        return Err(ExpandError::TooLong);
    }
    let (path, query) = split_query(&call.uri);
    let (application, path) = strip_context(path).ok_or(ExpandError::UnknownContext)?;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let items: Vec<&str> = query.split('&').filter(|item| !item.is_empty()).collect();
    let named = |name: &str| call.params.iter().find(|(param, _)| param.eq_ignore_ascii_case(name));

    let unnamed = {
        let is_named = |param: &str| {
            segments
                .iter()
                .chain(&items)
                .filter_map(|part| placeholder(part))
                .any(|name| name.eq_ignore_ascii_case(param))
        };
        let mut unnamed = call.params.iter().filter(|(param, value)| !value.is_empty() && !is_named(param));
        match (unnamed.next(), unnamed.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    };

    let mut path = String::with_capacity(call.uri.len());
    for segment in segments {
        if !path.is_empty() {
            path.push('/');
        }
        match placeholder(segment) {
            None => path.push_str(segment),
            Some(name) => {
                let (_, value) = named(name)
                    .filter(|(_, value)| !value.is_empty())
                    .or(unnamed)
                    .ok_or_else(|| ExpandError::MissingParameter { name: name.to_owned() })?;
                encode(&mut path, value);
            }
        }
    }
    // The one parameter that its template does not show (cti.md 12, oddities).
    if call.wrapper == "AddUserSubIdSubscriptionRequest"
        && let Some((_, value)) = named("targetSubId").filter(|(_, value)| !value.is_empty())
    {
        path.push_str("/subId/");
        encode(&mut path, value);
    }

    let mut query = String::new();
    for item in items {
        let value = placeholder(item).map(|name| (name, named(name)));
        if matches!(value, Some((_, None))) {
            continue;
        }
        if !query.is_empty() {
            query.push('&');
        }
        match value {
            Some((name, Some((_, value)))) => {
                query.push_str(name);
                query.push('=');
                encode(&mut query, value);
            }
            _ => query.push_str(item),
        }
    }
    Ok(Target { application, path, query })
}

/// Splits off the query. One template lacks its `?`: there, the query begins with the first placeholder that follows
/// text within a segment.
fn split_query(uri: &str) -> (&str, &str) {
    if let Some((path, query)) = uri.split_once('?') {
        return (path, query);
    }
    let last = uri.rfind('/').map_or(0, |slash| slash + 1);
    let segment = uri.get(last..).unwrap_or_default();
    if let Some(at) = segment.find('%').filter(|at| *at > 0) {
        let (_, query) = segment.split_at(at);
        if query.split('&').all(|item| placeholder(item).is_some()) {
            return uri.split_at(last + at);
        }
    }
    (uri, "")
}

/// The application of a path, and what follows its version.
fn strip_context(path: &str) -> Option<(Application, &str)> {
    let mut rest = path.trim_start_matches('/');
    for _ in 0..=MAX_PREFIXES {
        let (segment, after) = rest.split_once('/')?;
        let application = match segment {
            _ if segment.eq_ignore_ascii_case("com.broadsoft.xsi-actions") => Some(Application::Actions),
            _ if segment.eq_ignore_ascii_case("com.broadsoft.xsi-events") => Some(Application::Events),
            _ => None,
        };
        if let Some(application) = application {
            let (version, rest) = after.split_once('/').unwrap_or((after, ""));
            return version.eq_ignore_ascii_case("v2.0").then_some((application, rest));
        }
        rest = after;
    }
    None
}

/// The name of a placeholder that is the whole of a segment or item. A percent-encoded text cannot look like one: it
/// does not end in `%`.
fn placeholder(text: &str) -> Option<&str> {
    let name = text.strip_prefix('%')?.strip_suffix('%')?;
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .then_some(name)
}

/// Appends a text with everything but unreserved characters percent-encoded.
fn encode(out: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(uri: &str, params: &[(&str, &str)]) -> Call {
        Call {
            wrapper: "AnyRequest".into(),
            uri: uri.into(),
            method: "GET".into(),
            params: params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            document: None,
        }
    }

    fn parts(uri: &str, params: &[(&str, &str)]) -> (String, String) {
        let target = expand(&call(uri, params)).expect("expands");
        (target.path, target.query)
    }

    const ACTIONS: &str = "/com.broadsoft.xsi-actions/v2.0/";

    #[test]
    fn paths_and_queries() {
        assert_eq!(
            parts(
                &format!("{ACTIONS}user/%subscriberid%/calls/new?%address%&%clid%&%location%"),
                &[("subscriberId", "alice@x.test"), ("ADDRESS", "+1 555&a=b"), ("clid", "")]
            ),
            ("user/alice%40x.test/calls/new".into(), "address=%2B1%20555%26a%3Db&clid=".into())
        );
        assert_eq!(
            parts(&format!("{ACTIONS}user/alice%40x.test/calls/callhalf-1:0/Talk?a=b&%ad"), &[]),
            ("user/alice%40x.test/calls/callhalf-1:0/Talk".into(), "a=b&%ad".into())
        );
        assert_eq!(
            parts(
                &format!("{ACTIONS}user/%userId%/calls/%callId%/playmusiconhold"),
                &[("subscriberId", "a"), ("callId", "b")]
            ),
            ("user/a/calls/b/playmusiconhold".into(), String::new()),
            "the only parameter that nothing names"
        );
        assert_eq!(
            parts(
                &format!(
                    "{ACTIONS}meetmeconference/%bridgeId%/conference/%conferenceId%/outgoingdial%address%&%uniqueIdentifier%"
                ),
                &[("bridgeId", "b"), ("conferenceId", "c"), ("address", "1"), ("uniqueIdentifier", "u")]
            ),
            ("meetmeconference/b/conference/c/outgoingdial".into(), "address=1&uniqueIdentifier=u".into())
        );
    }

    #[test]
    fn contexts() {
        let application = |uri: &str| expand(&call(uri, &[])).map(|target| target.application);
        assert_eq!(application("/com.broadsoft.xsi-events/v2.0/channel"), Ok(Application::Events));
        assert_eq!(
            application("com.broadsoft.async/COM.broadsoft.xsi-events/V2.0/channel"),
            Ok(Application::Events)
        );
        assert_eq!(application("/xsi/com.broadsoft.xsi-actions/v2.0/versions"), Ok(Application::Actions));
        for uri in [
            "",
            "/",
            "/v2.0/user",
            "/com.broadsoft.xsi-events/v1.0/channel",
            "/a/b/c/com.broadsoft.xsi-events/v2.0/x",
        ] {
            assert_eq!(application(uri), Err(ExpandError::UnknownContext), "{uri}");
        }
        assert_eq!(application(&"x".repeat(5000)), Err(ExpandError::TooLong));
    }

    #[test]
    fn a_missing_path_parameter_is_told() {
        let missing = expand(&call(&format!("{ACTIONS}user/%subscriberid%/calls"), &[("subscriberid", "")]));
        assert_eq!(missing, Err(ExpandError::MissingParameter { name: "subscriberid".into() }));
    }

    proptest! {
        #[test]
        fn values_never_leave_their_place(value in "\\PC{1,20}") {
            let (path, query) = parts(
                &format!("{ACTIONS}user/%a%/calls?%b%"),
                &[("a", &value), ("b", &value)],
            );
            prop_assert_eq!(path.split('/').count(), 3);
            prop_assert_eq!(query.matches(['&', '=', '?', '/']).count(), 1);
        }

        #[test]
        fn nothing_panics(uri in "(/|%|\\?|&|=|a|v2.0|com.broadsoft.xsi-events|é){0,20}", value in "\\PC{0,5}") {
            let _result = expand(&call(&uri, &[("a", &value)]));
        }
    }
}
