//! The cloud service's answer to a question for push credentials: the proposed format of `protocols/nps.md` 5.1.

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

/// Longest value of an `Authorization` header that is taken.
const MAX_AUTHORIZATION: usize = 8192;
/// Longest life that is believed, seconds.
const MAX_LIFE: i64 = 12 * 3600;

/// Where pushes go that credentials are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, Deserialize)]
pub(crate) enum PushService {
    /// Apple's server for apps from the store.
    ApnsProduction,
    /// Apple's server for apps under development.
    ApnsDevelopment,
    /// Google's.
    Fcm,
}

impl PushService {
    fn platform(self) -> &'static str {
        match self {
            Self::ApnsProduction | Self::ApnsDevelopment => "apns",
            Self::Fcm => "fcm",
        }
    }
    /// Which of Apple's servers.
    pub(crate) fn environment(self) -> Option<&'static str> {
        match self {
            Self::ApnsProduction => Some("production"),
            Self::ApnsDevelopment => Some("development"),
            Self::Fcm => None,
        }
    }
}

/// Credentials as they were given.
pub(crate) struct GivenToken {
    /// The `Authorization` header, scheme and all.
    pub(crate) authorization: Zeroizing<String>,
    /// FCM's project.
    pub(crate) project: Option<String>,
    /// When they end, seconds since 1970.
    pub(crate) expires: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    application_id: String,
    platform: String,
    #[serde(default)]
    environment: Option<String>,
    authorization: String,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
    expires_at: i64,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.authorization.zeroize();
    }
}

/// Reads an answer; what is for another application, platform or server is refused, and so is what could not be sent.
///
/// # Errors
/// What speaks against it.
pub(crate) fn push_token(
    body: &[u8],
    service: PushService,
    application: &str,
    now: i64,
) -> Result<GivenToken, &'static str> {
    let mut body: Body = serde_json::from_slice(body).map_err(|_| "no push token in the answer")?;
    let other_server =
        service.environment().is_some_and(|own| body.environment.as_deref().is_some_and(|told| told != own));
    let other_topic = body.topic.as_deref().is_some_and(|topic| topic != application);
    if body.application_id != application || body.platform != service.platform() || other_topic {
        return Err("the push token is another application's");
    }
    if other_server {
        return Err("the push token is for another server");
    }
    let bearer = body.authorization.split_once(' ').filter(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer")
            && !token.is_empty()
            && token.bytes().all(|byte| byte.is_ascii_graphic())
    });
    if bearer.is_none() || body.authorization.len() > MAX_AUTHORIZATION {
        return Err("the push token is none");
    }
    if body.expires_at <= now {
        return Err("the push token has expired");
    }
    // It becomes a part of a path.
    let plain = |id: &String| {
        (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let project = match (service, body.project_id.take()) {
        (PushService::Fcm, Some(id)) if plain(&id) => Some(id),
        (PushService::Fcm, _) => return Err("the push token has no usable project"),
        (PushService::ApnsProduction | PushService::ApnsDevelopment, _) => None,
    };
    Ok(GivenToken {
        authorization: Zeroizing::new(std::mem::take(&mut body.authorization)),
        project,
        expires: body.expires_at.min(now.saturating_add(MAX_LIFE)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_795_255_200;

    fn read(
        service: PushService,
        change: impl Fn(&mut Value),
    ) -> Result<(String, Option<String>, i64), &'static str> {
        let mut body = match service {
            PushService::Fcm => json!({
                "applicationId": "app", "platform": "fcm", "projectId": "project-1",
                "authorization": "Bearer ya29.x", "expiresAt": NOW + 3600,
            }),
            PushService::ApnsProduction | PushService::ApnsDevelopment => json!({
                "applicationId": "app", "platform": "apns", "environment": service.environment(), "topic": "app",
                "authorization": "bearer a.b.c", "expiresAt": NOW + 3600, "more": [1],
            }),
        };
        change(&mut body);
        push_token(body.to_string().as_bytes(), service, "app", NOW)
            .map(|given| (given.authorization.to_string(), given.project, given.expires))
    }

    #[test]
    fn answers() {
        use PushService::{ApnsDevelopment, ApnsProduction, Fcm};
        assert_eq!(read(ApnsProduction, |_| ()), Ok(("bearer a.b.c".into(), None, NOW + 3600)));
        assert_eq!(read(ApnsDevelopment, |_| ()), Ok(("bearer a.b.c".into(), None, NOW + 3600)));
        assert_eq!(read(Fcm, |_| ()), Ok(("Bearer ya29.x".into(), Some("project-1".into()), NOW + 3600)));
        assert_eq!(read(Fcm, |body| body["expiresAt"] = json!(i64::MAX)).unwrap().2, NOW + MAX_LIFE);
        for (name, value) in [
            ("applicationId", json!("other")),
            ("platform", json!("fcm")),
            ("environment", json!("development")),
            ("topic", json!("other")),
            ("authorization", json!("Basic abc")),
            ("authorization", json!("bearer a\r\nX: y")),
            ("authorization", json!("bearer ")),
            ("authorization", json!(format!("bearer {}", "x".repeat(9000)))),
            ("expiresAt", json!(NOW)),
            ("expiresAt", json!("soon")),
        ] {
            assert!(read(ApnsProduction, |body| body[name] = value.clone()).is_err(), "{name} {value}");
        }
        for project in ["", "..", "a/b", "a?b", "ä"] {
            assert!(read(Fcm, |body| body["projectId"] = json!(project)).is_err(), "{project}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(push_token(&bytes, PushService::Fcm, "app", NOW).is_err());
        }
    }
}
