//! Credentials that are neither a web password nor a long-lived token: single-use login tokens and those of SIP. xsi.md 2.1

use crate::auth::{AuthError, Authenticator, BASE64};
use base64::Engine as _;
use openadp_appserver::{Account, Logins, UserId};
use openadp_settings::Secret;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a `BroadWorksSIP` header holds, encoded as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SipHeader<'a> {
    /// User id and SIP password.
    pub(crate) basic: &'a str,
    /// SIP authentication user name.
    pub(crate) sip_user: &'a str,
}

/// Credentials of a phone, decoded.
pub(crate) struct SipLogin {
    /// User id, or another name of the user.
    pub(crate) user: UserId,
    sip_user: Zeroizing<String>,
    password: Secret,
}

/// Reads `basic="...", sipUser="..."`; the order is free, and each stands there once.
pub(crate) fn sip_header(text: &str) -> Option<SipHeader<'_>> {
    let (mut basic, mut sip_user) = (None, None);
    for pair in text.split(',') {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        let place = match name.trim() {
            name if name.eq_ignore_ascii_case("basic") => &mut basic,
            name if name.eq_ignore_ascii_case("sipUser") => &mut sip_user,
            _ => return None,
        };
        if value.contains('"') || place.replace(value).is_some() {
            return None;
        }
    }
    Some(SipHeader { basic: basic?, sip_user: sip_user? })
}

impl Authenticator {
    /// Lets users prove themselves by what this port checks too. The first call counts.
    pub fn use_logins(&self, logins: Arc<dyn Logins>) {
        drop(self.logins_slot().set(logins));
    }

    fn logins(&self) -> Result<&Arc<dyn Logins>, AuthError> {
        self.logins_slot().get().ok_or(AuthError::Missing)
    }

    /// Takes a single-use login token.
    pub(crate) async fn take_login_token(&self, token: &str) -> Result<Account, AuthError> {
        Ok(self.logins()?.take_login_token(token).await?)
    }

    /// Reads the credentials of a phone.
    pub(crate) fn decode_sip(&self, text: &str) -> Option<SipLogin> {
        let header = sip_header(text)?;
        let decode = |text: &str| {
            let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
            let text = self.decode_text(&bytes)?;
            (!text.chars().any(|c| c.is_ascii_control())).then_some(text)
        };
        let (basic, sip_user) = (decode(header.basic)?, decode(header.sip_user)?);
        // A SIP password has no colon, a user id may.
        let (user, password) = basic.rsplit_once(':')?;
        Some(SipLogin { user: UserId::new(user), sip_user, password: Secret::new(password) })
    }

    /// Checks SIP credentials.
    pub(crate) async fn verify_sip(&self, login: &SipLogin) -> Result<Account, AuthError> {
        let password = login.password.expose();
        Ok(self.logins()?.verify_sip(login.user.as_str(), &login.sip_user, password).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_of_phones_are_read() {
        let both = Some(SipHeader { basic: "YTpi", sip_user: "YQ==" });
        for text in [
            r#"basic="YTpi", sipUser="YQ==""#,
            r#"sipUser="YQ==",basic="YTpi""#,
            r#"Basic = "YTpi" , SIPUSER = "YQ==""#,
            "basic=YTpi,sipUser=YQ==",
        ] {
            assert_eq!(sip_header(text), both, "{text}");
        }
        for text in [
            "",
            r#"basic="YTpi""#,
            r#"basic="YTpi", basic="YTpi", sipUser="YQ==""#,
            r#"basic="YTpi", sipUser="YQ==", other="x""#,
            r#"basic="YT"pi", sipUser="YQ==""#,
        ] {
            assert_eq!(sip_header(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,80}") {
            sip_header(&text);
        }
    }
}
