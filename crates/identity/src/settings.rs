//! The identity providers whose access tokens are exchanged for long-lived ones. cli.md 5.4 and 5.5, authservice.md 5.1
//!
//! Older releases keep these settings below the application, newer ones below `System/CommunicationUtility`; here they are one
//! set of contexts with both names.

use crate::CLUSTER_MAP_ACTIONS;
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Edit, Kind, Module, Parameter, Problem, Problems, Secret,
    Settings, Snapshot, Tree, context,
};
use std::collections::BTreeMap;

/// Nothing of an identity provider is fetched without TLS.
const HTTPS: Kind = Kind::Url(&["https"]);
/// Refresh tokens are JWTs at times.
const TOKEN: Kind = Kind::secret(4096);
/// Lists of words, separated by blanks.
const WORDS: Kind = Kind::text(1, 4096);

context! {
    /// Exchange of the access tokens of a Cisco identity provider.
    pub struct CiscoIdentityProvider =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco").aliases(&[
            "Applications/AuthService/IdentityProviders/Cisco",
            "System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CiscoIdentityProvider",
        ]) => {
        /// Whether such access tokens are taken.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// Id under which the identity provider knows this service.
        pub client_id: String = Parameter::new("clientId", Kind::text(1, 256));
        /// Secret that belongs to the id.
        pub client_secret: Secret = Parameter::new("clientSecret", Kind::secret(512));
        /// Issuer that the access tokens name.
        pub issuer_name: Option<String> = Parameter::new("issuerName", HTTPS);
        /// Base URL of the identity provider: this service gets its own access tokens below it.
        pub issuer_url: Option<String> = Parameter::new("issuerUrl", HTTPS);
        /// URL where an access token is checked.
        pub token_info_url: Option<String> = Parameter::new("tokenInfoUrl", HTTPS);
        /// Most bytes of an answer of the identity provider, after decompression; a longer one is refused.
        pub max_body_bytes: u32 = Parameter::new("ciResponseBodyMaxSizeInBytes", Kind::integer(1024, 1_048_576))
            .default("65536").unit("bytes");
        /// Organisations whose users get tokens, by id and separated by blanks; those of Partners are taken besides. While
        /// neither names one, the users of all get tokens that the identity provider vouches for.
        pub organizations: String = Parameter::new("allowedOrganizations", WORDS);
    }
}

context! {
    /// Further identity providers, each with its own credentials, beside the Cisco one.
    pub struct OtherIdentityProvider =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Others") => {
        /// Name, for this list, logs and metrics.
        pub name: String = Parameter::new("name", Kind::text(1, 40)).header("Name").key().left();
        /// Whether its access tokens are taken.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).header("Enabled").default("true");
        /// Issuer that its access tokens name; no two providers have the same.
        pub issuer_name: String = Parameter::new("issuerName", HTTPS).header("Issuer").mandatory().left();
        /// Base URL: this service gets its own access tokens below it.
        pub issuer_url: String = Parameter::new("issuerUrl", HTTPS).header("Issuer URL").mandatory().left();
        /// URL where an access token is checked.
        pub token_info_url: String = Parameter::new("tokenInfoUrl", HTTPS).header("Token Info URL").mandatory().left();
        /// Id under which it knows this service.
        pub client_id: String = Parameter::new("clientId", Kind::text(1, 256)).header("Client Id");
        /// Secret that belongs to the id.
        pub client_secret: Secret = Parameter::new("clientSecret", Kind::secret(512)).header("Client Secret");
        /// Token that gets this service its own access tokens there; void after 60 days without use.
        pub refresh_token: Secret = Parameter::new("refreshToken", TOKEN).header("Refresh Token");
        /// Scopes that an access token must have, separated by blanks.
        pub scope: String = Parameter::new("scope", WORDS).header("Scope").default("broadworks-connector:user");
        /// Organisations whose users get tokens, by id and separated by blanks; empty for all.
        pub organizations: String = Parameter::new("allowedOrganizations", WORDS).header("Organizations");
    }
}

context! {
    /// How identity providers are asked, whichever they are.
    pub struct IdentityLimits =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Limits") => {
        /// Time that a connection to an identity provider may take, its TLS handshake included.
        pub connect_millis: u32 = Parameter::new("connectTimeoutInMilliseconds", Kind::integer(50, 1500))
            .default("500").unit("milliseconds");
        /// Time that checking an access token may take in all.
        pub total_millis: u32 = Parameter::new("totalTimeoutInMilliseconds", Kind::integer(100, 1500))
            .default("1200").unit("milliseconds");
        /// Connections to one host.
        pub connections: u32 = Parameter::new("connectionsPerHost", Kind::integer(1, 100)).default("8");
        /// Time for which an access token that was good counts as such; never longer than it is valid. 0 asks every time.
        pub positive_seconds: u32 = Parameter::new("positiveCacheInSeconds", Kind::integer(0, 3600))
            .default("300").unit("seconds");
        /// Time for which a refused access token is refused without asking again.
        pub negative_seconds: u32 = Parameter::new("negativeCacheInSeconds", Kind::integer(0, 300))
            .default("10").unit("seconds");
        /// Time for which an access token that was good before still is while the identity provider cannot be reached.
        pub grace_minutes: u32 = Parameter::new("outageGraceInMinutes", Kind::integer(0, 1440))
            .default("60").unit("minutes");
        /// Whether identity providers may have private addresses. Names of OutgoingNames may in any case.
        pub private_addresses: bool = Parameter::new("allowPrivateAddresses", Kind::Boolean).default("false");
        /// Days without use after which a refresh token raises an alarm; it is void after 60.
        pub alarm_days: u32 = Parameter::new("refreshTokenAlarmInDays", Kind::integer(1, 59))
            .default("45").unit("days");
    }
}

const SCOPE_ARGUMENT: Parameter = Parameter::new("scope", Kind::text(1, 256)).mandatory().help("One scope.");

context! {
    /// What an access token must be good for.
    pub struct IdentityProviderScopes =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Scopes").actions(&[
            Action {
                name: "add",
                help: "Adds a scope to those that must be there.",
                arguments: &[SCOPE_ARGUMENT],
                run: add_scope,
            },
            Action {
                name: "delete",
                help: "Takes a scope from those that must be there; the last one stays.",
                arguments: &[SCOPE_ARGUMENT],
                run: delete_scope,
            },
        ]) => {
        /// Scope that must be there; several are separated by blanks and must all be.
        pub scope: String =
            Parameter::new("scope", Kind::text(1, 1024)).default("broadworks-connector:user");
    }
}

context! {
    /// The federation service, which knows all identity providers.
    pub struct Federation =
        Context::single(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Federation") => {
        /// URL of the federation service, https://cifls.webex.com/federation say.
        pub url: Option<String> = Parameter::new("flsUrl", HTTPS);
        /// Time after which its answer is asked for again.
        pub refresh_minutes: u32 = Parameter::new("refreshPeriodInMinutes", Kind::integer(1, 1440))
            .default("60").unit("minutes");
        /// Token that gets this service its own access tokens; void after 60 days without use. A new one that the identity
        /// provider gives is put here by the system.
        pub refresh_token: Secret = Parameter::new("refreshToken", TOKEN);
        /// Partner whose refresh token is used in place of refreshToken; an entry of Partners.
        pub partner_name: Option<String> = Parameter::new("partnerName", Kind::text(1, 80));
    }
}

context! {
    /// The identity providers that the federation service knows.
    pub struct ClusterMap = Context::actions_only(
        Tree::Adp,
        "Applications/AuthenticationService/IdentityProviders/Cisco/Federation/ClusterMap",
    )
    .actions(CLUSTER_MAP_ACTIONS) => {}
}

context! {
    /// Partner organisations, each with the refresh token that it was given.
    pub struct Partner =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Partners") => {
        /// Name of the partner.
        pub name: String = Parameter::new("partnerName", Kind::text(1, 80))
            .header("Partner Name").key().left();
        /// Token that gets this service its own access tokens there; void after 60 days without use.
        pub refresh_token: Secret = Parameter::new("refreshToken", TOKEN).header("Refresh Token");
        /// Organisations of the partner, by id and separated by blanks: their users' access tokens are checked with its
        /// refresh token.
        pub organizations: String = Parameter::new("organizations", WORDS).header("Organizations");
    }
}

context! {
    /// Roles of administrators whose access tokens are taken. While this list and ScopesAllowed are empty, none is.
    pub struct AllowedRole =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Admin/RolesAllowed") => {
        /// Name of the role.
        pub name: String = Parameter::new("name", Kind::text(1, 256)).header("Name").key().left();
    }
}

context! {
    /// Scopes of administrators' access tokens that are taken. While this list and RolesAllowed are empty, none is.
    pub struct AllowedScope =
        Context::table(Tree::Adp, "Applications/AuthenticationService/IdentityProviders/Cisco/Admin/ScopesAllowed") => {
        /// Name of the scope.
        pub name: String = Parameter::new("name", Kind::text(1, 256)).header("Name").key().left();
    }
}

/// A federation names one of the partners; no two providers have one issuer.
fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(name) = snapshot.get::<Federation>().partner_name
        && !snapshot.rows::<Partner>().iter().any(|partner| partner.name == name)
    {
        problems.push(
            Problem::new(Federation::CONTEXT.full_path(), format!("there is no partner {name}"))
                .parameter("partnerName")
                .hint("a partner is added to Partners before it is named here, and deleted after"),
        );
    }
    let mut issuers: Vec<(String, String)> = snapshot
        .get::<CiscoIdentityProvider>()
        .issuer_name
        .map(|issuer| (issuer, "Cisco".to_owned()))
        .into_iter()
        .collect();
    for other in snapshot.rows::<OtherIdentityProvider>() {
        if let Some((_, first)) = issuers.iter().find(|(issuer, _)| *issuer == other.issuer_name) {
            problems.push(
                Problem::new(
                    OtherIdentityProvider::CONTEXT.full_path(),
                    format!("{first} and {} have the same issuer {}", other.name, other.issuer_name),
                )
                .parameter("issuerName")
                .hint("the issuer that a token names says which provider checks it"),
            );
        }
        issuers.push((other.issuer_name, other.name));
    }
    problems
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("identity")
    .contexts(&[
        CiscoIdentityProvider::CONTEXT,
        OtherIdentityProvider::CONTEXT,
        IdentityLimits::CONTEXT,
        ClusterMap::CONTEXT,
        IdentityProviderScopes::CONTEXT,
        Federation::CONTEXT,
        Partner::CONTEXT,
        AllowedRole::CONTEXT,
        AllowedScope::CONTEXT,
    ])
    .checks(&[check]);

fn scopes(context: &ActionContext<'_>) -> Vec<String> {
    let scopes = context.snapshot.get::<IdentityProviderScopes>().scope;
    scopes.split_whitespace().map(str::to_owned).collect()
}

fn scope_of(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<String, Problems> {
    let scope = arguments.first().cloned().flatten().unwrap_or_default();
    if scope.is_empty() || scope.contains(char::is_whitespace) {
        let problem = Problem::new(context.context.full_path(), "a scope has no blanks in it");
        return Err(problem.parameter("scope").into());
    }
    Ok(scope)
}

fn put_scopes(context: &ActionContext<'_>, scopes: &[String]) -> ActionOutput {
    let values = BTreeMap::from([("scope".to_owned(), Some(scopes.join(" ")))]);
    let edit = Edit::Set { context: context.context.full_path(), key: Vec::new(), values };
    ActionOutput { edits: vec![edit], ..ActionOutput::default() }
}

fn add_scope(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let (scope, mut scopes) = (scope_of(context, arguments)?, scopes(context));
    if scopes.contains(&scope) {
        return Err(Problem::new(context.context.full_path(), format!("{scope} is there already")).into());
    }
    scopes.push(scope);
    Ok(put_scopes(context, &scopes))
}

fn delete_scope(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let (scope, mut scopes) = (scope_of(context, arguments)?, scopes(context));
    let before = scopes.len();
    scopes.retain(|own| *own != scope);
    let path = || context.context.full_path();
    if scopes.len() == before {
        return Err(Problem::new(path(), format!("there is no scope {scope}")).into());
    }
    if scopes.is_empty() {
        let problem = Problem::new(path(), "the last scope stays: every access token would be taken");
        return Err(problem.hint("add another one first").into());
    }
    Ok(put_scopes(context, &scopes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MODULE;
    use openadp_settings::{Author, Change, Registry, Store};
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
    fn add(context: &str, values: &[(&str, &str)]) -> Edit {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Edit::Add { context: context.to_owned(), values }
    }

    #[test]
    fn both_names_mean_one_context() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let newer = "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CiscoIdentityProvider";
        let remarks = commit(&store, set(newer, "issuerName", "https://idbroker.webex.com/idb"));
        assert_eq!(remarks, Ok(Vec::new()));
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
        let partner = add(&Partner::CONTEXT.full_path(), &[("partnerName", "acme"), ("refreshToken", "r-1")]);
        assert!(commit(&store, partner).is_ok());
        assert!(commit(&store, set(&federation, "partnerName", "acme")).is_ok());
        let gone = Edit::Delete { context: Partner::CONTEXT.full_path(), key: vec!["acme".to_owned()] };
        assert!(commit(&store, gone).is_err());
    }

    #[test]
    fn an_issuer_belongs_to_one_provider() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let issuer = "https://idbroker.webex.com/idb";
        let provider = |name: &str| {
            let values = [
                ("name", name),
                ("issuerName", issuer),
                ("issuerUrl", issuer),
                ("tokenInfoUrl", "https://proxy.example.net/info"),
            ];
            add(&OtherIdentityProvider::CONTEXT.full_path(), &values)
        };
        assert!(commit(&store, provider("second")).is_ok());
        let refused = commit(&store, provider("third")).unwrap_err();
        assert!(refused.contains("second and third have the same issuer"), "{refused}");
        assert!(
            commit(&store, set(&CiscoIdentityProvider::CONTEXT.full_path(), "issuerName", issuer)).is_err()
        );
    }

    #[test]
    fn scopes_are_added_and_deleted_by_name_too() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let path = IdentityProviderScopes::CONTEXT.full_path();
        let act = |action: &str, scope: &str| {
            store
                .run_action(
                    &path,
                    action,
                    &[Some(scope.to_owned())],
                    &Author("tester".into()),
                    false,
                    OffsetDateTime::UNIX_EPOCH,
                )
                .map_err(|problems| problems.to_string())
        };
        act("add", "second:scope").unwrap();
        assert_eq!(store.get::<IdentityProviderScopes>().scope, "broadworks-connector:user second:scope");
        assert!(act("add", "second:scope").unwrap_err().contains("there already"));
        assert!(act("add", "two words").is_err());
        act("delete", "broadworks-connector:user").unwrap();
        assert!(act("delete", "second:scope").unwrap_err().contains("the last scope stays"));
        assert!(act("delete", "third").unwrap_err().contains("no scope"));
    }
}
