//! Declarations of pushes whose credentials come from a cloud service; cli.md 5.6, ranges of nps.md 8. Applications without a
//! key or a project of their own belong to it.

use openadp_settings::{Context, Kind, Parameter, Problem, Secret, Settings, Snapshot, Tree, context};

/// Nothing of a provider is fetched without TLS.
const HTTPS: Kind = Kind::Url(&["https"]);

context! {
    /// The identity provider that lets this server use the cloud service.
    pub struct CiscoCi = Context::single(Tree::Adp, "Applications/NotificationPushServer/CiscoCI") => {
        /// Base URL of the identity provider.
        pub issuer_url: String = Parameter::new("issuerUrl", HTTPS)
            .default("https://idbroker.webex.com/idb");
    }
}

context! {
    /// What this server shows to the identity provider.
    pub struct CiscoCiClient = Context::single(Tree::Adp, "Applications/NotificationPushServer/CiscoCI/Client") => {
        /// Id under which the identity provider knows this server.
        pub client_id: String = Parameter::new("clientId", Kind::text(1, 256));
        /// Secret that belongs to the id.
        pub client_secret: Secret = Parameter::new("clientSecret", Kind::secret(512));
        /// Token that gets this server its access tokens; void after 60 days without use.
        pub refresh_token: Secret = Parameter::new("refreshToken", Kind::secret(4096));
    }
}

context! {
    /// The cloud service that provides push credentials of applications that others publish.
    pub struct CloudNpsService = Context::single(Tree::Adp, "Applications/NotificationPushServer/CloudNPSService") => {
        /// URL of the service; ends with a slash.
        pub url: Option<String> = Parameter::new("url", HTTPS);
        /// Time after which push credentials are fetched anew.
        pub token_refresh_secs: u32 = Parameter::new("VOIPTokenRefreshInterval", Kind::integer(1200, 3300))
            .default("1800").unit("seconds");
    }
}

/// What a kind cannot say.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let url = snapshot.get::<CloudNpsService>().url;
    if url.is_none_or(|url| url.ends_with('/')) {
        return Vec::new();
    }
    vec![
        Problem::new(CloudNpsService::CONTEXT.full_path(), "the URL must end with a slash")
            .parameter("url")
            .hint("https://nps.uc-one.broadsoft.com/nps/ say"),
    ]
}
