//! The settings as the gateways use them: keys parsed, routes made. Built once for each revision of the settings.

use crate::gateway::apns::SigningKey;
use crate::gateway::fcm::ServiceAccount;
use crate::settings::{
    AccessClient, AccessControl, ApnsAuthKey, ApnsDevelopment, ApnsProduction, DevelopmentToken, Fcm,
    FcmApplication, FcmProject, General, PROJECT_WORD, ProductionToken,
};
use arc_swap::ArcSwap;
use openadp_alarms::PUSH_CREDENTIALS_UNUSABLE;
use openadp_outgoing::Endpoint;
use openadp_settings::{Secret, Snapshot, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Where an application's pushes go.
pub(crate) enum Route<A, B> {
    To(A, B),
    /// Nowhere, and why.
    Missing(&'static str),
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

/// One of Apple's two servers.
pub(crate) struct ApnsEnvironment {
    /// URL up to the device token, without trailing slash.
    pub(crate) url: String,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) pool_size: usize,
    pub(crate) timeout: Duration,
    pub(crate) idle: Duration,
    /// Key by application id; `None` where the application has none, or an unusable one.
    applications: HashMap<String, Option<SigningKey>>,
}

impl ApnsEnvironment {
    /// Keys that any application uses.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.applications.values().flatten()
    }
}

/// All settings at one revision.
pub(crate) struct Configuration {
    pub(crate) revision: u64,
    pub(crate) general: General,
    pub(crate) shared_secret: Secret,
    pub(crate) clients: Vec<String>,
    pub(crate) fcm: FcmConfiguration,
    /// Production first: an application that is in both goes there.
    pub(crate) apns: [ApnsEnvironment; 2],
}

impl Configuration {
    fn new(snapshot: &Snapshot) -> Self {
        let keys = signing_keys(snapshot);
        let production = snapshot.get::<ApnsProduction>();
        let development = snapshot.get::<ApnsDevelopment>();
        let environment =
            |url: &str, pool_size, timeout_millis, idle_seconds, rows: Vec<(String, Option<String>)>| {
                let url = url.trim_end_matches('/').to_owned();
                ApnsEnvironment {
                    endpoint: Url::parse(&url).ok().as_ref().and_then(Endpoint::of),
                    url,
                    pool_size,
                    timeout: Duration::from_millis(timeout_millis),
                    idle: Duration::from_secs(idle_seconds),
                    applications: rows
                        .into_iter()
                        .map(|(app, key)| (app, key.and_then(|key| keys.get(&key).cloned())))
                        .collect(),
                }
            };
        Self {
            revision: snapshot.revision(),
            general: snapshot.get(),
            shared_secret: snapshot.get::<AccessControl>().shared_secret,
            clients: snapshot.rows::<AccessClient>().into_iter().map(|row| row.common_name).collect(),
            fcm: fcm(snapshot),
            apns: [
                environment(
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

    /// Server and key of an iOS application.
    pub(crate) fn apns_route(&self, application: &str) -> Route<&ApnsEnvironment, &SigningKey> {
        let mut reason = "application is not in APNS/Production/Tokens or APNS/Development/Tokens";
        for environment in &self.apns {
            match environment.applications.get(application) {
                Some(Some(key)) => return Route::To(environment, key),
                Some(None) => reason = "application has no usable key in APNS/AuthKey",
                None => {}
            }
        }
        Route::Missing(reason)
    }

    /// URL and service account of an Android application.
    pub(crate) fn fcm_route(&self, application: &str) -> Route<Url, &ServiceAccount> {
        if !self.fcm.enabled {
            return Route::Missing("FCM V1Enabled is false");
        }
        let Some(project) = self.fcm.applications.get(application) else {
            return Route::Missing("application is not in FCM/Applications");
        };
        let Some(project) = project else {
            return Route::Missing("application has no project");
        };
        match self.fcm.projects.get(project) {
            None => Route::Missing("application's project is not in FCM/Projects"),
            Some(None) => Route::Missing("key file of the application's project is not usable"),
            Some(Some(account)) => match Url::parse(&self.fcm.push_url.replace(PROJECT_WORD, project)) {
                Ok(url) => Route::To(url, account),
                Err(_) => Route::Missing("pushURL is not usable"),
            },
        }
    }

    /// Whether any Android application has credentials.
    pub(crate) fn fcm_configured(&self) -> bool {
        self.fcm.applications.keys().any(|application| matches!(self.fcm_route(application), Route::To(..)))
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
