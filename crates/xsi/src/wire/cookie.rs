//! The session cookie (xsi.md 2.3): for load balancers; nothing here reads it.

use openadp_xsi_api::Application;

const NAME: &str = "JSESSIONID";

/// Whether a request carries the cookie already.
pub(crate) fn present(header: &str) -> bool {
    header.split(';').any(|pair| pair.trim().split_once('=').is_some_and(|(name, _)| name == NAME))
}

/// The cookie to set: the path is the application's context, also when the request came through the async tree.
pub(crate) fn set(application: Application, session: uuid::Uuid) -> String {
    let path = match application {
        Application::Actions => crate::ACTIONS,
        Application::Events => crate::EVENTS,
    };
    format!("{NAME}={:X}; Path={path}; Secure; HttpOnly", session.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        assert!(present("a=b; JSESSIONID=0A1B"));
        assert!(!present("XJSESSIONID=1; b"));
        let cookie = set(Application::Events, uuid::Uuid::nil());
        assert_eq!(
            cookie,
            "JSESSIONID=00000000000000000000000000000000; Path=/com.broadsoft.xsi-events; Secure; HttpOnly"
        );
    }
}
