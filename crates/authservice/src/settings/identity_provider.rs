//! The identity provider whose access tokens are exchanged for long-lived ones. cli.md 5.4 and 5.5, authservice.md 5.1
//!
//! Older releases keep these settings below the application, newer ones below `System/CommunicationUtility`; here they are one
//! set of contexts with both names.

use openadp_settings::{
    Context, Kind, Parameter, Problem, Secret, Settings, Snapshot, Tree, Unused, context,
};

/// Nothing of an identity provider is fetched without TLS.
const HTTPS: Kind = Kind::Url(&["https"]);
/// Refresh tokens are JWTs at times.
const TOKEN: Kind = Kind::secret(4096);

context! {
    /// Exchange of the access tokens of a Cisco identity provider.
    pub struct CiscoIdentityProvider =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco").aliases(&[
            "Applications/AuthService/IdentityProviders/Cisco",
            "System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CiscoIdentityProvider",
        ]) => {
        /// Whether such access tokens are taken.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false").unused(Unused::Later);
        /// Id under which the identity provider knows this service.
        pub client_id: String = Parameter::new("clientId", Kind::text(1, 256)).unused(Unused::Later);
        /// Secret that belongs to the id.
        pub client_secret: Secret = Parameter::new("clientSecret", Kind::secret(512)).unused(Unused::Later);
        /// Issuer that the access tokens name.
        pub issuer_name: Option<String> = Parameter::new("issuerName", HTTPS).unused(Unused::Later);
        /// Base URL of the identity provider.
        pub issuer_url: Option<String> = Parameter::new("issuerUrl", HTTPS).unused(Unused::Later);
        /// URL where an access token is checked.
        pub token_info_url: Option<String> = Parameter::new("tokenInfoUrl", HTTPS).unused(Unused::Later);
        /// Most bytes of an answer of the identity provider; a longer one is refused.
        pub max_body_bytes: u32 = Parameter::new("ciResponseBodyMaxSizeInBytes", Kind::integer(1024, 1_048_576))
            .default("65536").unit("bytes").unused(Unused::Later);
    }
}

context! {
    /// What an access token must be good for.
    pub struct IdentityProviderScopes =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Scopes") => {
        /// Scope that must be there, broadworks-connector:user say; several are separated by blanks.
        pub scope: String = Parameter::new("scope", Kind::text(1, 1024)).unused(Unused::Later);
    }
}

context! {
    /// The federation service, which knows all identity providers.
    pub struct Federation =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Federation") => {
        /// URL of the federation service, https://cifls.webex.com/federation say.
        pub url: Option<String> = Parameter::new("flsUrl", HTTPS).unused(Unused::Later);
        /// Time after which its answer is asked for again.
        pub refresh_minutes: u32 = Parameter::new("refreshPeriodInMinutes", Kind::integer(1, 1440))
            .default("60").unit("minutes").unused(Unused::Later);
        /// Token that gets this service its own access tokens; void after 60 days without use.
        pub refresh_token: Secret = Parameter::new("refreshToken", TOKEN).unused(Unused::Later);
        /// Partner whose refresh token is used in place of refreshToken; an entry of Partners.
        pub partner_name: Option<String> =
            Parameter::new("partnerName", Kind::text(1, 80)).unused(Unused::Later);
    }
}

context! {
    /// Partner organisations, each with the refresh token that it was given.
    pub struct Partner =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Partners") => {
        /// Name of the partner.
        pub name: String = Parameter::new("partnerName", Kind::text(1, 80))
            .header("Partner Name").key().left().unused(Unused::Later);
        /// Token that gets this service its own access tokens there; void after 60 days without use.
        pub refresh_token: Secret =
            Parameter::new("refreshToken", TOKEN).header("Refresh Token").unused(Unused::Later);
    }
}

context! {
    /// Roles of administrators whose access tokens are taken.
    pub struct AllowedRole =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Admin/RolesAllowed") => {
        /// Name of the role.
        pub name: String =
            Parameter::new("name", Kind::text(1, 256)).header("Name").key().left().unused(Unused::Later);
    }
}

context! {
    /// Scopes of administrators' access tokens that are taken.
    pub struct AllowedScope =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Admin/ScopesAllowed") => {
        /// Name of the scope.
        pub name: String =
            Parameter::new("name", Kind::text(1, 256)).header("Name").key().left().unused(Unused::Later);
    }
}

/// A federation names one of the partners.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let Some(name) = snapshot.get::<Federation>().partner_name else { return Vec::new() };
    if snapshot.rows::<Partner>().iter().any(|partner| partner.name == name) {
        return Vec::new();
    }
    vec![
        Problem::new(Federation::CONTEXT.full_path(), format!("there is no partner {name}"))
            .parameter("partnerName")
            .hint("a partner is added to Partners before it is named here, and deleted after"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MODULE;
    use openadp_settings::{Author, Change, Edit, Registry, Store};
    use std::collections::BTreeMap;
    use time::OffsetDateTime;

    fn commit(store: &Store, edit: Edit) -> Result<Vec<String>, String> {
        let change =
            Change { author: Author("tester".into()), comment: None, edits: vec![edit], force: false };
        store
            .commit(&change, OffsetDateTime::UNIX_EPOCH)
            .map(|done| done.remarks)
            .map_err(|problems| problems.to_string())
    }
    fn set(context: &str, name: &str, value: &str) -> Edit {
        let values = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
        Edit::Set { context: context.to_owned(), key: Vec::new(), values }
    }

    #[test]
    fn both_names_mean_one_context() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let newer = "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CiscoIdentityProvider";
        let remarks = commit(&store, set(newer, "issuerName", "https://idbroker.webex.com/idb"));
        assert_eq!(remarks, Ok(vec!["not used by this build: issuerName".to_owned()]));
        let issuer = store.get::<CiscoIdentityProvider>().issuer_name;
        assert_eq!(issuer.as_deref(), Some("https://idbroker.webex.com/idb"));
        assert!(commit(&store, set(newer, "tokenInfoUrl", "http://idbroker.example.net")).is_err());
        assert!(commit(&store, set(newer, "ciResponseBodyMaxSizeInBytes", "1048577")).is_err());
    }

    #[test]
    fn a_federation_names_a_partner_that_exists() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let federation = Federation::CONTEXT.full_path();
        let refused = commit(&store, set(&federation, "partnerName", "acme")).unwrap_err();
        assert!(refused.contains("there is no partner acme"), "{refused}");
        let values = BTreeMap::from([
            ("partnerName".to_owned(), "acme".to_owned()),
            ("refreshToken".to_owned(), "r-1".to_owned()),
        ]);
        let partner = Edit::Add { context: Partner::CONTEXT.full_path(), values };
        assert!(commit(&store, partner).is_ok());
        assert!(commit(&store, set(&federation, "partnerName", "acme")).is_ok());
        let gone = Edit::Delete { context: Partner::CONTEXT.full_path(), key: vec!["acme".to_owned()] };
        assert!(commit(&store, gone).is_err());
    }
}
