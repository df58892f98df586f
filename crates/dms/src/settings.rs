//! Declarations: `Applications/BroadworksDms` and below; `protocols/cli.md` 5.6, `protocols/dms.md` 5.3.
//!
//! `AccessControl` itself and `Headers/TrustedSources` hold names of our own.

use crate::wire::{compile, header_of};
use openadp_settings::{
    Context, Kind, Module, NamedKind, Network, Parameter, Secret, Settings, Tree, context,
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
        match compile(word)?.captures_len() {
            2 => Ok(word.to_owned()),
            groups => {
                Err(format!("{} groups, but exactly one is needed: the address", groups.saturating_sub(1)))
            }
        }
    },
    words: Vec::new,
};

/// The same for the line of a header, whose name it begins with: no other header can tell the address then.
static HEADER_LINE: NamedKind = NamedKind {
    label: "Regex with one group, beginning with the name of a header and a colon",
    parse: |word| match (ONE_GROUP.parse)(word) {
        Ok(word) if header_of(&word).is_some() => Ok(word),
        Ok(_) => Err("it must begin with the name of the header and a colon, macaddress: say".to_owned()),
        Err(reason) => Err(reason),
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
    /// Devices that prove themselves with an access token of the identity provider of IdentityProviders/Cisco, whether users'
    /// tokens are taken there or not.
    pub struct OAuth =
        Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/OAuth") => {
        /// Whether such tokens are taken.
        pub enable: bool = Parameter::new("enable", Kind::Boolean).default("false");
    }
}

context! {
    /// Scopes that an access token must hold, one of them at least.
    pub struct OAuthScope =
        Context::table(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/OAuth/Scopes")
            .initial(&[&["broadworks-connector:user"]]) => {
        /// Name of the scope.
        pub scope: String =
            Parameter::new("scope", Kind::text(1, 256)).header("Scope").key().left();
    }
}

context! {
    /// Devices whose hardware address a firewall in front, which ends their TLS, passes on in a header. It is believed from
    /// TrustedSources alone; the firewall must take away what devices send in that header themselves.
    pub struct Headers =
        Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/Headers") => {
        /// Whether the header is believed.
        pub enable: bool = Parameter::new("enable", Kind::Boolean).default("false");
        /// Pattern for the whole line of the header, without regard to case, beginning with the header's name and a colon; its one
        /// group is the hardware address. Without it nobody is believed.
        pub identity_pattern: Option<String> =
            Parameter::new("identityPattern", Kind::Named(&HEADER_LINE));
    }
}

context! {
    /// Firewalls that are believed what they say in the header. Empty, nobody is.
    pub struct TrustedSource = Context::table(
        Tree::Adp,
        "Applications/BroadworksDms/AccessControl/Authentication/Headers/TrustedSources",
    ) => {
        /// Address that its connections come from, or a network as address/bits.
        pub network: Network = Parameter::new("network", Kind::Named(Network::KIND)).header("Network").key().left();
    }
}

context! {
    /// Devices that prove their hardware address with a certificate of their maker. The interface, or its rule for this
    /// application in ClientAuthentication/WebApps, must ask for certificates, and trust their authority.
    pub struct Certificates =
        Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl/Authentication/Certificates") => {
        /// Whether such certificates are taken.
        pub enable: bool = Parameter::new("enable", Kind::Boolean).default("false");
        /// Pattern for the whole common name of the subject, without regard to case; its one group is the hardware
        /// address. Without it no certificate counts.
        pub identity_pattern: Option<String> =
            Parameter::new("identityPattern", Kind::Named(&ONE_GROUP));
    }
}

context! {
    /// The bridge through which devices are activated with a code.
    pub struct DmBridge = Context::single(Tree::Adp, "Applications/BroadworksDms/DeviceActivation/DMBridge") => {
        /// Host or URL of the bridge.
        pub url: Option<String> = Parameter::new("url", Kind::Named(&HOST_OR_URL));
        /// Scope of the access tokens that are sent there, dm-bridge:device_auth say.
        pub scope: String = Parameter::new("scope", Kind::text(1, 256));
    }
}

context! {
    /// The identity provider of device activation.
    pub struct ActivationIdentityProvider =
        Context::single(Tree::Adp, "Applications/BroadworksDms/DeviceActivation/IdentityProviders/Cisco") => {
        /// URL of the discovery service, which names the identity provider.
        pub gds_domain: Option<String> =
            Parameter::new("gdsDomain", Kind::Url(&["https"]));
        /// Id under which the identity provider knows this service.
        pub client_id: String = Parameter::new("clientId", Kind::text(1, 256));
        /// Secret that belongs to the id.
        pub client_secret: Secret = Parameter::new("clientSecret", Kind::secret(512));
        /// Token that gets this service its own access tokens.
        pub refresh_token: Secret = Parameter::new("refreshToken", Kind::secret(4096));
    }
}

/// All declarations of this application.
pub const MODULE: Module = Module::new("dms").contexts(&[
    AccessControl::CONTEXT,
    OAuth::CONTEXT,
    OAuthScope::CONTEXT,
    Headers::CONTEXT,
    TrustedSource::CONTEXT,
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
    fn a_pattern_for_a_header_names_it() {
        let kind = Kind::Named(&HEADER_LINE);
        assert!(kind.parse("macaddress:.*([0-9a-fA-F]{12}).*").is_ok());
        for bad in [".*([0-9a-fA-F]{12}).*", "macaddress:.*", "mac.*:(x)"] {
            assert!(kind.parse(bad).is_err(), "{bad}");
        }
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
