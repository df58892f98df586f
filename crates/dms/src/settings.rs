//! Declarations: `Applications/BroadworksDms` and below; `protocols/cli.md` 5.6, `protocols/dms.md` 5.3.
//!
//! `AccessControl` itself holds names of our own. The known ones below it and below `DeviceActivation` belong to ways of
//! authentication that are not built yet.

use openadp_settings::{
    Context, Kind, Module, NamedKind, Parameter, Secret, Settings, Tree, Unused, context,
};

/// Longest pattern; longer than any that finds one address.
const MAX_PATTERN: usize = 256;

/// A pattern that gives exactly one thing.
static ONE_GROUP: NamedKind = NamedKind {
    label: "Regex with one group",
    parse: |word| {
        if word.chars().count() > MAX_PATTERN {
            return Err(format!("longer than {MAX_PATTERN} characters"));
        }
        let pattern =
            regex::Regex::new(word).map_err(|error| format!("not a regular expression: {error}"))?;
        match pattern.captures_len() {
            2 => Ok(word.to_owned()),
            groups => {
                Err(format!("{} groups, but exactly one is needed: the address", groups.saturating_sub(1)))
            }
        }
    },
    words: Vec::new,
};

/// Where a bridge is: guides give the host alone.
static HOST_OR_URL: NamedKind = NamedKind {
    label: "Host|URL",
    parse: |word| {
        if word.contains("://") { Kind::Url(&["https"]).parse(word) } else { Kind::Host.parse(word) }
    },
    words: Vec::new,
};

context! {
    /// How devices prove who they are, and what happens to those that cannot.
    pub struct AccessControl = Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl") => {
        /// Realm of the challenge.
        pub realm: String = Parameter::new("realm", Kind::text(1, 80)).default("BroadWorks");
        /// Whether passwords are taken over interfaces without TLS.
        pub allow_basic_over_http: bool = Parameter::new("allowBasicOverHttp", Kind::Boolean).default("false");
        /// Wrong credentials from one source within the window before it is refused for a while.
        pub failures_per_source: u32 =
            Parameter::new("failuresPerSource", Kind::integer(5, 100_000)).default("100");
        /// The window.
        pub failure_window_seconds: u64 = Parameter::new("failureWindowInSeconds", Kind::integer(10, 86_400))
            .default("600").unit("seconds");
        /// How long such a source is answered 429.
        pub block_seconds: u64 =
            Parameter::new("blockInSeconds", Kind::integer(1, 86_400)).default("60").unit("seconds");
    }
}

context! {
    /// Devices that prove themselves with an access token of an identity provider.
    pub struct OAuth =
        Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/OAuth") => {
        /// Whether such tokens are taken.
        pub enable: bool = Parameter::new("enable", Kind::Boolean).default("false").unused(Unused::Later);
    }
}

context! {
    /// Scopes that an access token must hold, one of them at least.
    pub struct OAuthScope =
        Context::table(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/OAuth/Scopes")
            .initial(&[&["broadworks-connector:user"]]) => {
        /// Name of the scope.
        pub scope: String =
            Parameter::new("scope", Kind::text(1, 256)).header("Scope").key().left().unused(Unused::Later);
    }
}

context! {
    /// Devices whose hardware address a firewall in front, which ends their TLS, passes on in a header.
    pub struct Headers =
        Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/Headers") => {
        /// Whether the header is believed.
        pub enable: bool = Parameter::new("enable", Kind::Boolean).default("false").unused(Unused::Later);
        /// Pattern for the line of the header; its one group is the hardware address.
        pub identity_pattern: Option<String> =
            Parameter::new("identityPattern", Kind::Named(&ONE_GROUP)).unused(Unused::Later);
    }
}

context! {
    /// Devices that prove their hardware address with a certificate of their maker.
    pub struct Certificates =
        Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/Certificates") => {
        /// Whether such certificates are taken.
        pub enable: bool = Parameter::new("enable", Kind::Boolean).default("false").unused(Unused::Later);
        /// Pattern for the subject; its one group is the hardware address.
        pub identity_pattern: Option<String> =
            Parameter::new("identityPattern", Kind::Named(&ONE_GROUP)).unused(Unused::Later);
    }
}

context! {
    /// The bridge through which devices are activated with a code.
    pub struct DmBridge = Context::single(Tree::Adp, "Applications/BroadworksDms/DeviceActivation/DMBridge") => {
        /// Host or URL of the bridge.
        pub url: Option<String> = Parameter::new("url", Kind::Named(&HOST_OR_URL)).unused(Unused::Later);
        /// Scope of the access tokens that are sent there, dm-bridge:device_auth say.
        pub scope: String = Parameter::new("scope", Kind::text(1, 256)).unused(Unused::Later);
    }
}

context! {
    /// The identity provider of device activation.
    pub struct ActivationIdentityProvider =
        Context::single(Tree::Adp, "Applications/BroadworksDms/DeviceActivation/IdentityProviders/Cisco") => {
        /// URL of the global discovery service.
        pub gds_domain: Option<String> =
            Parameter::new("gdsDomain", Kind::Url(&["https"])).unused(Unused::Later);
        /// Id under which the identity provider knows this service.
        pub client_id: String = Parameter::new("clientId", Kind::text(1, 256)).unused(Unused::Later);
        /// Secret that belongs to the id.
        pub client_secret: Secret = Parameter::new("clientSecret", Kind::secret(512)).unused(Unused::Later);
        /// Token that gets this service its own access tokens.
        pub refresh_token: Secret = Parameter::new("refreshToken", Kind::secret(4096)).unused(Unused::Later);
    }
}

/// All declarations of this application.
pub const MODULE: Module = Module::new("dms").contexts(&[
    AccessControl::CONTEXT,
    OAuth::CONTEXT,
    OAuthScope::CONTEXT,
    Headers::CONTEXT,
    Certificates::CONTEXT,
    DmBridge::CONTEXT,
    ActivationIdentityProvider::CONTEXT,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_one_thing() {
        let kind = Kind::Named(&ONE_GROUP);
        for good in [".*([0-9a-fA-F]{12}).*", "macaddress:.*([0-9a-fA-F]{12}).*", "^(?:CN=)?([0-9A-F]{12})$"]
        {
            assert_eq!(kind.parse(good), Ok(good.to_owned()));
        }
        for bad in ["", "[0-9a-f]{12}", "(a)(b)", "(", "a{9999999}"] {
            assert!(kind.parse(bad).is_err(), "{bad}");
        }
        assert!(kind.parse(&format!("({})", "a".repeat(300))).is_err());
    }

    #[test]
    fn a_bridge_is_a_host_or_a_secure_url() {
        let kind = Kind::Named(&HOST_OR_URL);
        assert!(kind.parse("dm-bridge-a.wbx2.com").is_ok());
        assert!(kind.parse("https://dm-bridge-a.wbx2.com/x").is_ok());
        for bad in ["http://dm-bridge-a.wbx2.com", "a b", "https://user:secret@host"] {
            assert!(kind.parse(bad).is_err(), "{bad}");
        }
    }
}
