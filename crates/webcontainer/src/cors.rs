//! `Applications/WebContainer/Tomcat/CORS`: which web pages may use the applications from a browser. cli.md 5.6
//!
//! An origin is compared to the letter and never reflected unseen. The AuthenticationService has a list of its own, since a page that
//! may have tokens may do everything; what it says of an origin is left as it is.

use arc_swap::ArcSwap;
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use openadp_settings::{Context, Kind, Parameter, Problem, Settings as _, Snapshot, Store, Tree, context};
use std::sync::Arc;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");
const HEADERS: HeaderValue =
    HeaderValue::from_static("accept, authorization, content-type, trackingid, x-request-id");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("retry-after, trackingid, www-authenticate, x-request-id");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");
/// The application that has a list of its own.
const WITH_OWN_LIST: &str = "AuthenticationService";

context! {
    /// Web pages that may use the applications from a browser: their origins, compared to the letter. Empty, no page may.
    /// AuthenticationService has a list of its own, AllowedOrigins.
    pub struct CorsOrigin = Context::table(Tree::Adp, "Applications/WebContainer/Tomcat/CORS") => {
        /// Scheme, host and, where it is not the scheme's own, port: https://portal.example.net say.
        pub origin: String = Parameter::new("origin", Kind::text(8, 261)).header("Origin").key().left();
    }
}

/// Whether a text is what browsers send: a scheme and a host in lower case, with a port where it is not the scheme's own, and
/// nothing that stands for all or for none.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let own = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    let is_name = |host: &str| {
        host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
            && host.split('.').all(|label| !label.is_empty())
    };
    let is_address = |host: &str| {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        address
            .and_then(|text| text.parse::<std::net::Ipv6Addr>().ok().filter(|own| own.to_string() == text))
            .is_some()
    };
    (is_name(host) || is_address(host)) && port.is_none_or(|port| port != own && is_port(port))
}

pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let wrong = snapshot.rows::<CorsOrigin>().into_iter().filter(|row| !is_origin(&row.origin));
    wrong
        .map(|row| {
            Problem::new(CorsOrigin::CONTEXT.full_path(), format!("{} is no origin", row.origin))
                .parameter("origin")
                .hint("https://portal.example.net, in lower case, without a path, and without the scheme's own port")
        })
        .collect()
}

/// The list, read once per revision.
pub(crate) struct Cors {
    store: Arc<Store>,
    origins: ArcSwap<(u64, Vec<CorsOrigin>)>,
}

/// An origin on the list.
pub(crate) struct Listed(HeaderValue);

impl Cors {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let current = store.current();
        Self { origins: ArcSwap::from_pointee((current.revision(), current.rows())), store }
    }

    /// The request's origin, where it is on the list; most requests have none.
    pub(crate) fn listed(&self, headers: &HeaderMap) -> Option<Listed> {
        let origin = headers.get(ORIGIN)?;
        let current = self.store.current();
        let mut held = self.origins.load_full();
        if held.0 != current.revision() {
            held = Arc::new((current.revision(), current.rows()));
            self.origins.store(held.clone());
        }
        let listed = held.1.iter().any(|row| row.origin.as_bytes() == origin.as_bytes());
        listed.then(|| Listed(origin.clone()))
    }
}

impl Listed {
    /// Lets the page read the answer of an application.
    pub(crate) fn mark(self, application: &str, headers: &mut HeaderMap) {
        if application.eq_ignore_ascii_case(WITH_OWN_LIST) {
            return;
        }
        headers.append(VARY, BY_ORIGIN);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The answer to a browser that asks whether a page may send a request; none where it is something else, or the application
/// answers it itself.
pub(crate) fn preflight<B>(request: &Request<B>, application: &str) -> Option<Response<Body>> {
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || application.eq_ignore_ascii_case(WITH_OWN_LIST) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for good in [
            "https://portal.example.net",
            "http://localhost:8080",
            "https://192.0.2.7:8443",
            "https://[2001:db8::1]",
            "http://[2001:db8::1]:81",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "https://*",
            "https://*.example.net",
            "https://Portal.example.net",
            "https://portal.example.net/",
            "https://portal.example.net:443",
            "http://a:80",
            "https://a:0",
            "https://a:99999",
            "https://a:08",
            "https://",
            "ftp://a.example",
            "https://a..b",
            "https://u@a",
            "https://[2001:DB8::1]",
            "https://[::1",
            "file:///x",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
