//! Settings of the AuthenticationService beside those of tokens and keys. authservice.md 11

mod callers;

pub use callers::CertificateCaller;
pub(crate) use callers::{BROADWORKS_USAGE, CLIENT_AUTH};

use openadp_settings::{Context, Kind, Module, Parameter, Problem, Settings, Snapshot, Tree, context};

context! {
    /// How many tokens are made at once, and how often; a request beyond a limit is refused before anything is done for it.
    pub struct TokenLimits = Context::single(Tree::Adp, "Applications/AuthenticationService/TokenLimits")
        .aliases(&["Applications/AuthService/TokenLimits"]) => {
        /// Requests for tokens that are worked on at once in each process; further ones get 503.
        pub in_progress: u32 =
            Parameter::new("maxTokensInProgress", Kind::integer(1, 10_000)).default("48").unit("requests");
        /// Tokens that one user gets in a minute; 0 for no limit. Only requests that proved the user are counted, so that nobody
        /// can use it up for somebody else.
        pub per_minute_and_user: u32 =
            Parameter::new("tokensPerMinutePerUser", Kind::integer(0, 100_000)).default("60").unit("tokens");
        /// Requests a second with one client certificate; 0 for no limit.
        pub per_second_and_certificate: u32 =
            Parameter::new("requestsPerSecondPerCertificate", Kind::integer(0, 100_000)).default("200").unit("requests");
    }
}

context! {
    /// Web pages that may ask for tokens from a browser: their origins, compared to the letter. Empty, no page may.
    pub struct AllowedOrigin = Context::table(Tree::Adp, "Applications/AuthenticationService/AllowedOrigins")
        .aliases(&["Applications/AuthService/AllowedOrigins"]) => {
        /// Scheme, host and, where it is not the scheme's own, port: https://portal.example.net say.
        pub origin: String = Parameter::new("origin", Kind::text(8, 261)).header("Origin").key().left();
    }
}

/// Whether a text is what browsers send as `Origin`: nothing that could stand for all, or for none.
fn is_origin(text: &str) -> bool {
    !text.contains('*')
        && url::Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http") && url.origin().ascii_serialization() == text
        })
}

fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let origins = snapshot.rows::<AllowedOrigin>().into_iter().filter(|row| !is_origin(&row.origin)).map(|row| {
        Problem::new(AllowedOrigin::CONTEXT.full_path(), format!("{} is no origin", row.origin))
            .parameter("origin")
            .hint("https://portal.example.net, in lower case, without a path, and without the scheme's own port")
    });
    origins.collect()
}

/// All contexts that only this application has; those of tokens, keys and identity providers are in their crates' modules.
pub const MODULE: Module = Module::new("authservice")
    .contexts(&[TokenLimits::CONTEXT, AllowedOrigin::CONTEXT, CertificateCaller::CONTEXT])
    .checks(&[check]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in ["https://portal.example.net", "http://127.0.0.1:8080", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "https://*",
            "https://portal.example.net/",
            "https://Portal.example.net",
            "https://portal.example.net:443",
            "portal.example.net",
            "file:///x",
            "https://a@b.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
