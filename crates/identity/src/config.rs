//! What the settings make of identity providers: usable ones only, each with its own credentials.

use crate::settings::{
    AllowedRole, AllowedScope, CiscoIdentityProvider, Federation, IdentityProviderScopes,
    OtherIdentityProvider, Partner,
};
use openadp_settings::{Context, Secret, Settings as _, Snapshot};
use std::sync::Arc;
use url::Url;

/// Name of the provider that the guide configures.
pub(crate) const CISCO: &str = "Cisco";

/// Most bytes of an answer of other providers, as by default of the Cisco one.
const MAX_BODY: usize = 65_536;

/// Name of the parameter that holds a refresh token, in every context that has one.
const REFRESH_TOKEN: &str = "refreshToken";

/// Where a refresh token is kept: one is put back where it came from.
#[derive(Debug, Clone)]
pub struct Slot {
    label: String,
    context: &'static Context,
    key: Vec<String>,
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
    }
}
impl Eq for Slot {}
impl std::hash::Hash for Slot {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.label.hash(state);
    }
}

impl Slot {
    /// `refreshToken` of a context with one row, under a name of its own.
    pub fn new(label: &str, context: &'static Context) -> Self {
        Self { label: label.to_owned(), context, key: Vec::new() }
    }
    /// `refreshToken` of a row of a table.
    fn of_row(folder: &str, context: &'static Context, key: String) -> Self {
        Self { label: format!("{folder}/{key}"), context, key: vec![key] }
    }
    pub(crate) fn federation() -> Self {
        Self::new("Federation", Federation::CONTEXT)
    }
    pub(crate) fn partner(name: String) -> Self {
        Self::of_row("Partners", Partner::CONTEXT, name)
    }
    pub(crate) fn other(name: String) -> Self {
        Self::of_row("Others", OtherIdentityProvider::CONTEXT, name)
    }

    /// As logs, metrics and files name it.
    pub fn label(&self) -> String {
        self.label.clone()
    }
    /// Context and key of its row.
    pub(crate) fn row(&self) -> (String, Vec<String>) {
        (self.context.full_path(), self.key.clone())
    }
    /// The refresh token that it holds now.
    pub fn token(&self, snapshot: &Snapshot) -> Secret {
        let key: Vec<&str> = self.key.iter().map(String::as_str).collect();
        let row = match key.as_slice() {
            [] => snapshot.rows_of(self.context).first(),
            key => snapshot.row(self.context, key),
        };
        Secret::new(row.and_then(|row| row.text(self.context, REFRESH_TOKEN)).unwrap_or_default())
    }
}

/// Our registration as a client of a provider: what gets us access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Name of the provider, for logs and alarms.
    pub provider: String,
    /// Id under which it knows us.
    pub client_id: String,
    /// Secret that belongs to the id.
    pub client_secret: Secret,
    /// Base of its OAuth endpoints.
    pub issuer_url: Url,
    /// The refresh token.
    pub slot: Slot,
    /// Scope that access tokens are asked for with; `None` for what the refresh token has.
    pub scope: Option<String>,
    /// Most bytes of an answer.
    pub max_body: usize,
}

/// A partner's organisations and its registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartnerRegistration {
    pub(crate) organizations: Vec<String>,
    pub(crate) registration: Registration,
}

/// What a token must be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scopes {
    /// Every one of these.
    All(Vec<String>),
    /// One of these; where there is none, no token will do.
    Any(Vec<String>),
}

impl Scopes {
    pub(crate) fn are_met(&self, own: &[String]) -> bool {
        match self {
            Self::All(wanted) => wanted.iter().all(|one| own.contains(one)),
            Self::Any(wanted) => wanted.iter().any(|one| own.contains(one)),
        }
    }
}

/// Whose access tokens are checked.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Those of users, at all providers and as `IdentityProviders` says.
    Users,
    /// Those of devices, at the provider of `IdentityProviders/Cisco`, whether it is enabled for users or not.
    Devices {
        /// Whether they are taken.
        enabled: fn(&Snapshot) -> bool,
        /// Scopes of which a token must have one, in place of those for users.
        scopes: fn(&Snapshot) -> Vec<String>,
    },
}

/// A provider that can be asked about access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) issuer_name: String,
    pub(crate) token_info_url: Url,
    pub(crate) scopes: Scopes,
    /// Organisations whose users are taken; empty for all.
    pub(crate) organizations: Vec<String>,
    pub(crate) registration: Registration,
    pub(crate) partners: Vec<PartnerRegistration>,
    pub(crate) max_body: usize,
}

impl Provider {
    /// Our registration for users of an organisation.
    pub(crate) fn registration_for(&self, organization: Option<&str>) -> &Registration {
        let listed = |partner: &&PartnerRegistration| {
            organization.is_some_and(|id| partner.organizations.iter().any(|own| own == id))
        };
        self.partners.iter().find(listed).map_or(&self.registration, |partner| &partner.registration)
    }
    /// Whether users of an organisation are taken.
    pub(crate) fn allows(&self, organization: Option<&str>) -> bool {
        let mut listed = self
            .organizations
            .iter()
            .chain(self.partners.iter().flat_map(|partner| &partner.organizations))
            .peekable();
        listed.peek().is_none() || organization.is_some_and(|id| listed.any(|own| own == id))
    }
}

/// The federation service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FederationConfig {
    pub(crate) url: Url,
    pub(crate) registration: Registration,
}

/// Everything about identity providers, as the settings are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) federation: Option<FederationConfig>,
    /// How often our own access tokens are renewed at least, and the federation service is asked.
    pub(crate) refresh_minutes: u32,
    pub(crate) roles: Vec<String>,
    pub(crate) role_scopes: Vec<String>,
    /// What keeps a provider that is enabled from being used, for the log.
    pub(crate) faults: Vec<String>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// An `https` URL without credentials in it.
pub(crate) fn url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (url.scheme() == "https" && url.has_host() && plain).then_some(url)
}

impl Config {
    /// Reads the settings.
    pub(crate) fn of(snapshot: &Snapshot, purpose: Purpose) -> Self {
        let mut config = Self {
            refresh_minutes: snapshot.get::<Federation>().refresh_minutes,
            roles: snapshot.rows::<AllowedRole>().into_iter().map(|row| row.name).collect(),
            role_scopes: snapshot.rows::<AllowedScope>().into_iter().map(|row| row.name).collect(),
            ..Self::default()
        };
        config.cisco(snapshot, purpose);
        if matches!(purpose, Purpose::Devices { .. }) {
            return config;
        }
        for row in snapshot.rows::<OtherIdentityProvider>().into_iter().filter(|row| row.enabled) {
            config.other(row);
        }
        config
    }

    fn cisco(&mut self, snapshot: &Snapshot, purpose: Purpose) {
        let settings = snapshot.get::<CiscoIdentityProvider>();
        let (enabled, scopes) = match purpose {
            Purpose::Users => {
                (settings.enabled, Scopes::All(words(&snapshot.get::<IdentityProviderScopes>().scope)))
            }
            Purpose::Devices { enabled, scopes } => (enabled(snapshot), Scopes::Any(scopes(snapshot))),
        };
        if !enabled {
            return;
        }
        let mut fault = |name: &str| self.faults.push(format!("{CISCO}: {name} is missing or not usable"));
        let issuer_url = settings.issuer_url.as_deref().and_then(url);
        let federation = snapshot.get::<Federation>();
        let (Some(issuer_url), false) = (issuer_url, settings.client_id.is_empty()) else {
            fault("issuerUrl or clientId");
            return;
        };
        let max_body = usize::try_from(settings.max_body_bytes).unwrap_or(usize::MAX);
        let registration = |slot: Slot| Registration {
            provider: CISCO.to_owned(),
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            issuer_url: issuer_url.clone(),
            slot,
            scope: None,
            max_body,
        };
        let own = registration(federation.partner_name.map_or_else(Slot::federation, Slot::partner));
        if let Some(url) = federation.url.as_deref().and_then(url) {
            self.federation = Some(FederationConfig { url, registration: own.clone() });
        }
        let (Some(issuer_name), Some(token_info_url)) =
            (settings.issuer_name, settings.token_info_url.as_deref().and_then(url))
        else {
            fault("issuerName or tokenInfoUrl");
            return;
        };
        let partners = snapshot
            .rows::<Partner>()
            .into_iter()
            .map(|row| PartnerRegistration {
                organizations: words(&row.organizations),
                registration: registration(Slot::partner(row.name)),
            })
            .collect();
        self.providers.push(Arc::new(Provider {
            name: CISCO.to_owned(),
            issuer_name,
            token_info_url,
            scopes,
            organizations: words(&settings.organizations),
            registration: own,
            partners,
            max_body,
        }));
    }

    fn other(&mut self, row: OtherIdentityProvider) {
        let (Some(issuer_url), Some(token_info_url)) = (url(&row.issuer_url), url(&row.token_info_url))
        else {
            self.faults.push(format!("{}: issuerUrl or tokenInfoUrl is not usable", row.name));
            return;
        };
        let registration = Registration {
            provider: row.name.clone(),
            client_id: row.client_id,
            client_secret: row.client_secret,
            issuer_url,
            slot: Slot::other(row.name.clone()),
            scope: None,
            max_body: MAX_BODY,
        };
        self.providers.push(Arc::new(Provider {
            name: row.name,
            issuer_name: row.issuer_name,
            token_info_url,
            scopes: Scopes::All(words(&row.scope)),
            organizations: words(&row.organizations),
            registration,
            partners: Vec::new(),
            max_body: MAX_BODY,
        }));
    }

    /// Every registration in use, each slot once.
    pub(crate) fn registrations(&self) -> Vec<Registration> {
        let mut all: Vec<Registration> = Vec::new();
        let of_providers = self.providers.iter().flat_map(|provider| {
            std::iter::once(&provider.registration)
                .chain(provider.partners.iter().map(|partner| &partner.registration))
        });
        for one in of_providers.chain(self.federation.iter().map(|federation| &federation.registration)) {
            if !all.iter().any(|known| known.slot == one.slot) {
                all.push(one.clone());
            }
        }
        all
    }

    /// The provider of an issuer; without an issuer, the only one there is.
    pub(crate) fn provider(&self, issuer: Option<&str>) -> Option<&Arc<Provider>> {
        match issuer {
            Some(issuer) => self.providers.iter().find(|provider| provider.issuer_name == issuer),
            None => match self.providers.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
    }
}
