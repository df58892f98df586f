//! The settings as the gateways use them: keys parsed, routes made. Built once for each revision of the settings.

use crate::cloud_settings::{CiscoCi, CiscoCiClient, CloudNpsService};
use crate::gateway::apns::SigningKey;
use crate::gateway::fcm::ServiceAccount;
use crate::settings::{
    AccessClient, AccessControl, ApnsAuthKey, ApnsDevelopment, ApnsProduction, DevelopmentToken, Fcm,
    FcmApplication, FcmProject, General, PROJECT_WORD, ProductionToken,
};
use crate::wire::PushService;
use arc_swap::ArcSwap;
use openadp_alarms::PUSH_CREDENTIALS_UNUSABLE;
use openadp_identity::{Registration, Slot};
use openadp_outgoing::Endpoint;
use openadp_settings::{Secret, Settings as _, Snapshot, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// What an Apple application is pushed with.
pub(crate) enum ApnsCredential {
    /// A key of ours.
    Own(SigningKey),
    /// What the cloud service gives.
    Cloud,
}

/// What an Android application is pushed with.
pub(crate) enum FcmRoute<'a> {
    /// The account of a project, and where its messages go.
    Own(Url, &'a ServiceAccount),
    /// What the cloud service gives.
    Cloud,
}

/// The cloud service that gives credentials of applications without a key here.
pub(crate) struct CloudConfiguration {
    /// Base of its resources, with a slash at its end.
    pub(crate) url: Url,
    /// Our account with the identity provider.
    pub(crate) registration: Registration,
    /// Credentials are renewed after this time.
    pub(crate) refresh: Duration,
}

/// Most bytes of an answer of the cloud service and its identity provider.
const CLOUD_ANSWER: usize = 65_536;

fn cloud(snapshot: &Snapshot) -> Result<CloudConfiguration, &'static str> {
    let service = snapshot.get::<CloudNpsService>();
    let client = snapshot.get::<CiscoCiClient>();
    let parsed = |text: &str| Url::parse(text).ok();
    let url = service.url.as_deref().and_then(parsed);
    let url = url.ok_or("application has no key, and CloudNPSService has no url")?;
    if client.client_id.is_empty() || client.refresh_token.is_empty() {
        return Err("application has no key, and CiscoCI/Client has no clientId or refreshToken");
    }
    let issuer_url =
        parsed(&snapshot.get::<CiscoCi>().issuer_url).ok_or("issuerUrl of CiscoCI is not usable")?;
    Ok(CloudConfiguration {
        url,
        registration: Registration {
            provider: "CiscoCI".to_owned(),
            client_id: client.client_id,
            client_secret: client.client_secret,
            issuer_url,
            slot: Slot::new("NotificationPushServer", CiscoCiClient::CONTEXT),
            scope: None,
            max_body: CLOUD_ANSWER,
        },
        refresh: Duration::from_secs(u64::from(service.token_refresh_secs)),
    })
}

/// FCM's settings, parsed.
pub(crate) struct FcmConfiguration {
    pub(crate) enabled: bool,
    pub(crate) auth_url: Option<Url>,
    pub(crate) push_url: String,
    pub(crate) scope: String,
    pub(crate) token_seconds: u32,
    pub(crate) pool_size: usize,
    pub(crate) timeout: Duration,
    pub(crate) idle: Duration,
    /// By project id; `None` where the stored key is not usable.
    projects: HashMap<String, Option<ServiceAccount>>,
    /// Project by application id.
    applications: HashMap<String, Option<String>>,
}

impl FcmConfiguration {
    /// Where messages of a project go.
    pub(crate) fn push_to(&self, project: &str) -> Result<Url, &'static str> {
        Url::parse(&self.push_url.replace(PROJECT_WORD, project)).map_err(|_| "pushURL is not usable")
    }
}

/// One of Apple's two servers.
pub(crate) struct ApnsEnvironment {
    /// URL up to the device token, without trailing slash.
    pub(crate) url: String,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) pool_size: usize,
    pub(crate) timeout: Duration,
    pub(crate) idle: Duration,
    pub(crate) service: PushService,
    /// Credential by application id; `None` where the key is not usable.
    applications: HashMap<String, Option<ApnsCredential>>,
}

impl ApnsEnvironment {
    /// Keys that any application uses.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.applications.values().flatten().filter_map(|credential| match credential {
            ApnsCredential::Own(key) => Some(key),
            ApnsCredential::Cloud => None,
        })
    }
    /// Applications that the cloud service gives the credentials of.
    pub(crate) fn cloud_applications(&self) -> impl Iterator<Item = &str> {
        let cloud = self.applications.iter().filter(|(_, one)| matches!(one, Some(ApnsCredential::Cloud)));
        cloud.map(|(application, _)| application.as_str())
    }
}

/// All settings at one revision.
pub(crate) struct Configuration {
    pub(crate) revision: u64,
    pub(crate) general: General,
    pub(crate) shared_secret: Secret,
    pub(crate) clients: Vec<String>,
    pub(crate) fcm: FcmConfiguration,
    /// The cloud service, or why it cannot be asked.
    pub(crate) cloud: Result<CloudConfiguration, &'static str>,
    /// Production first: an application that is in both goes there.
    pub(crate) apns: [ApnsEnvironment; 2],
}

impl Configuration {
    fn new(snapshot: &Snapshot) -> Self {
        let keys = signing_keys(snapshot);
        let production = snapshot.get::<ApnsProduction>();
        let development = snapshot.get::<ApnsDevelopment>();
        let environment = |service,
                           url: &str,
                           pool_size,
                           timeout_millis,
                           idle_seconds,
                           rows: Vec<(String, Option<String>)>| {
            let url = url.trim_end_matches('/').to_owned();
            ApnsEnvironment {
                endpoint: Url::parse(&url).ok().as_ref().and_then(Endpoint::of),
                url,
                pool_size,
                timeout: Duration::from_millis(timeout_millis),
                idle: Duration::from_secs(idle_seconds),
                applications: rows
                    .into_iter()
                    .map(|(app, key)| match key {
                        None => (app, Some(ApnsCredential::Cloud)),
                        Some(key) => (app, keys.get(&key).cloned().map(ApnsCredential::Own)),
                    })
                    .collect(),
                service,
            }
        };
        Self {
            revision: snapshot.revision(),
            general: snapshot.get(),
            shared_secret: snapshot.get::<AccessControl>().shared_secret,
            clients: snapshot.rows::<AccessClient>().into_iter().map(|row| row.common_name).collect(),
            fcm: fcm(snapshot),
            cloud: cloud(snapshot),
            apns: [
                environment(
                    PushService::ApnsProduction,
                    &production.url,
                    production.pool_size,
                    production.timeout_millis,
                    production.idle_seconds,
                    snapshot
                        .rows::<ProductionToken>()
                        .into_iter()
                        .map(|r| (r.app_id, r.auth_key_id))
                        .collect(),
                ),
                environment(
                    PushService::ApnsDevelopment,
                    &development.url,
                    development.pool_size,
                    development.timeout_millis,
                    development.idle_seconds,
                    snapshot
                        .rows::<DevelopmentToken>()
                        .into_iter()
                        .map(|r| (r.app_id, r.auth_key_id))
                        .collect(),
                ),
            ],
        }
    }

    /// Server and credential of an iOS application, or why there are none.
    pub(crate) fn apns_route(
        &self,
        application: &str,
    ) -> Result<(&ApnsEnvironment, &ApnsCredential), &'static str> {
        let mut reason = "application is not in APNS/Production/Tokens or APNS/Development/Tokens";
        for environment in &self.apns {
            match environment.applications.get(application) {
                Some(Some(ApnsCredential::Cloud)) if self.cloud.is_err() => {
                    reason = self.cloud.as_ref().err().copied().unwrap_or_default();
                }
                Some(Some(credential)) => return Ok((environment, credential)),
                Some(None) => reason = "application has no usable key in APNS/AuthKey",
                None => {}
            }
        }
        Err(reason)
    }

    /// Where an Android application's messages go and what with, or why nowhere.
    pub(crate) fn fcm_route(&self, application: &str) -> Result<FcmRoute<'_>, &'static str> {
        if !self.fcm.enabled {
            return Err("FCM V1Enabled is false");
        }
        let Some(project) = self.fcm.applications.get(application) else {
            return Err("application is not in FCM/Applications");
        };
        let Some(project) = project else {
            return self.cloud.as_ref().map(|_| FcmRoute::Cloud).map_err(|reason| *reason);
        };
        match self.fcm.projects.get(project) {
            None => Err("application's project is not in FCM/Projects"),
            Some(None) => Err("key file of the application's project is not usable"),
            Some(Some(account)) => self.fcm.push_to(project).map(|url| FcmRoute::Own(url, account)),
        }
    }

    /// Applications that the cloud service gives the credentials of.
    pub(crate) fn cloud_applications(&self) -> Vec<(PushService, &str)> {
        let apple = self.apns.iter().flat_map(|environment| {
            environment.cloud_applications().map(|application| (environment.service, application))
        });
        let google =
            self.fcm.applications.iter().filter(|(_, project)| self.fcm.enabled && project.is_none());
        apple.chain(google.map(|(application, _)| (PushService::Fcm, application.as_str()))).collect()
    }

    /// Whether any iOS application has credentials.
    pub(crate) fn apns_configured(&self) -> bool {
        let cloud = |environment: &ApnsEnvironment| environment.cloud_applications().next().is_some();
        self.apns.iter().any(|environment| {
            environment.keys().next().is_some() || (self.cloud.is_ok() && cloud(environment))
        })
    }

    /// Whether any Android application has credentials.
    pub(crate) fn fcm_configured(&self) -> bool {
        self.fcm.applications.keys().any(|application| self.fcm_route(application).is_ok())
    }
}

fn signing_keys(snapshot: &Snapshot) -> HashMap<String, SigningKey> {
    let mut keys = HashMap::new();
    for row in snapshot.rows::<ApnsAuthKey>() {
        match SigningKey::parse(&row.auth_key_id, &row.team_id, row.auth_key.expose()) {
            Ok(key) => {
                PUSH_CREDENTIALS_UNUSABLE.clear(&[("provider", "apns"), ("key", &row.auth_key_id)]);
                keys.insert(row.auth_key_id, key);
            }
            Err(error) => {
                PUSH_CREDENTIALS_UNUSABLE.raise(&[("provider", "apns"), ("key", &row.auth_key_id)], error);
            }
        }
    }
    keys
}

fn fcm(snapshot: &Snapshot) -> FcmConfiguration {
    let fcm = snapshot.get::<Fcm>();
    let projects = snapshot.rows::<FcmProject>().into_iter().map(|row| {
        let account = ServiceAccount::parse(row.account_key.expose());
        let about = [("provider", "fcm"), ("key", row.project_id.as_str())];
        PUSH_CREDENTIALS_UNUSABLE.set(&about, account.as_ref().err());
        (row.project_id, account.ok())
    });
    if !fcm.v1_enabled {
        tracing::warn!("FCM V1Enabled is false: nothing is pushed to Android phones");
    }
    FcmConfiguration {
        enabled: fcm.v1_enabled,
        auth_url: Url::parse(&fcm.auth_url).ok(),
        push_url: fcm.push_url,
        scope: fcm.scope,
        token_seconds: fcm.token_seconds,
        pool_size: fcm.pool_size,
        timeout: Duration::from_millis(fcm.timeout_millis),
        idle: Duration::from_secs(fcm.idle_seconds),
        projects: projects.collect(),
        applications: snapshot
            .rows::<FcmApplication>()
            .into_iter()
            .map(|r| (r.application_id, r.project_id))
            .collect(),
    }
}

/// The configuration, always that of the settings' newest revision.
pub(crate) struct Configurations {
    store: Arc<Store>,
    held: ArcSwap<Configuration>,
}

impl Configurations {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let configuration = Configuration::new(&store.current());
        Self { store, held: ArcSwap::from_pointee(configuration) }
    }
    /// As the settings are now.
    pub(crate) fn current(&self) -> Arc<Configuration> {
        let held = self.held.load_full();
        let snapshot = self.store.current();
        if held.revision == snapshot.revision() {
            return held;
        }
        let fresh = Arc::new(Configuration::new(&snapshot));
        self.held.store(fresh.clone());
        fresh
    }
}
