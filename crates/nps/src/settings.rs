//! Declarations: `Applications/NotificationPushServer` and below.
//!
//! Names are those of `protocols/cli.md` 5.6; defaults and ranges those of `protocols/nps.md` 8. Everything applies live.

use crate::cloud_settings::{CiscoCi, CiscoCiClient, CloudNpsService};
use crate::gateway::{apns, fcm};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Edit, Kind, Module, Parameter, Problem, Problems, Secret,
    Settings, Snapshot, Tree, Unused, context,
};
use std::collections::BTreeMap;

/// URLs of providers are always HTTPS.
const HTTPS: Kind = Kind::Url(&["https"]);
/// Longest application id (`protocols/nps.md` 3).
const APPLICATION_ID: Kind = Kind::text(1, 2048);
/// The word of `pushURL` that stands for the project.
pub(crate) const PROJECT_WORD: &str = "PROJECT-ID";
/// Key files have two or three kilobytes; this leaves room and bounds what is stored.
const KEY_FILE: u32 = 16 * 1024;

context! {
    /// Notification push server: calls and messages wake mobile phones.
    pub struct General = Context::single(Tree::Adp, "Applications/NotificationPushServer/GeneralSettings") => {
        /// Pushes under way at once to each provider.
        pub maximum_concurrent_pushes: usize =
            Parameter::new("maximumConcurrentPushes", Kind::integer(1, 10_000)).default("500");
        /// Pushes that may wait for their turn; more are refused with 503.
        pub maximum_waiting_pushes: usize =
            Parameter::new("maximumWaitingPushes", Kind::integer(1, 100_000)).default("10000");
    }
}

context! {
    /// Who may ask this server to push.
    pub struct AccessControl = Context::single(Tree::Adp, "Applications/NotificationPushServer/AccessControl") => {
        /// Secret that the application server sends in the header X-NPS-Secret; empty refuses everybody without a
        /// listed client certificate.
        pub shared_secret: Secret = Parameter::new("sharedSecret", Kind::secret(256));
    }
}

context! {
    /// Client certificates that may ask this server to push, by common name.
    pub struct AccessClient = Context::table(Tree::Adp, "Applications/NotificationPushServer/AccessControl/Clients") => {
        /// Common name of the certificate's subject.
        pub common_name: String = Parameter::new("commonName", Kind::text(1, 256)).header("Common Name").key().left();
    }
}

context! {
    /// Pushes to Android phones: Firebase Cloud Messaging, HTTP v1.
    pub struct Fcm = Context::single(Tree::Adp, "Applications/NotificationPushServer/FCM") => {
        /// False turns pushes to Android off: the older interface no longer exists.
        pub v1_enabled: bool = Parameter::new("V1Enabled", Kind::Boolean).default("true");
        /// Where access tokens come from.
        pub auth_url: String =
            Parameter::new("authURL", HTTPS).default("https://www.googleapis.com/oauth2/v4/token");
        /// Where messages go; the word PROJECT-ID stands for the project.
        pub push_url: String = Parameter::new("pushURL", HTTPS)
            .default("https://fcm.googleapis.com/v1/projects/PROJECT-ID/messages:send");
        /// Scope of the access tokens.
        pub scope: String =
            Parameter::new("scope", HTTPS).default("https://www.googleapis.com/auth/firebase.messaging");
        /// Life of an assertion, and the longest that an access token is used.
        pub token_seconds: u32 =
            Parameter::new("tokenTimeToLiveInSeconds", Kind::integer(300, 3600)).default("3600").unit("seconds");
        /// Connections to one host.
        pub pool_size: usize = Parameter::new("connectionPoolSize", Kind::integer(1, 100)).default("10");
        /// Longest wait for a connection, and then for an answer.
        pub timeout_millis: u64 = Parameter::new("connectionTimeoutInMilliseconds", Kind::integer(100, 30_000))
            .default("3600").unit("milliseconds");
        /// A connection idle for so long is closed, unless it is the last one.
        pub idle_seconds: u64 = Parameter::new("connectionIdleTimeoutInSeconds", Kind::integer(10, 3600))
            .default("600").unit("seconds");
    }
}

context! {
    /// Firebase projects and the key files of their service accounts.
    pub struct FcmProject = Context::table(Tree::Adp, "Applications/NotificationPushServer/FCM/Projects")
        .without(&["add", "set"])
        .actions(&[ADD_PROJECT]) =>
    {
        /// Project id.
        pub project_id: String = Parameter::new("projectId", Kind::text(1, 256)).header("Project ID").key().left();
        /// Content of the key file.
        pub account_key: Secret =
            Parameter::new("accountKey", Kind::secret(KEY_FILE)).header("Accountkey").mandatory();
    }
}

context! {
    /// Android applications and the project each is pushed through.
    pub struct FcmApplication = Context::table(Tree::Adp, "Applications/NotificationPushServer/FCM/Applications") => {
        /// Application id, as apps register it.
        pub application_id: String =
            Parameter::new("applicationId", APPLICATION_ID).header("Application ID").key().left();
        /// Project; none means that the cloud service gives the credentials.
        pub project_id: Option<String> = Parameter::new("projectId", Kind::text(1, 256)).header("Project ID").left();
    }
}

context! {
    /// Pushes to Apple phones: Apple Push Notification service.
    pub struct ApnsGeneral = Context::single(Tree::Adp, "Applications/NotificationPushServer/APNS/GeneralSettings") => {
        /// Always true: the interface without HTTP/2 no longer exists.
        pub http2_enabled: bool = Parameter::new("HTTP2Enabled", Kind::Choice(&["true"])).default("true").unused(Unused::Never);
    }
}

context! {
    /// The server that phones with apps from the store listen to.
    pub struct ApnsProduction = Context::single(Tree::Adp, "Applications/NotificationPushServer/APNS/Production") => {
        /// URL up to the device token.
        pub url: String = Parameter::new("url", HTTPS).default("https://api.push.apple.com/3/device");
        /// Connections for each team.
        pub pool_size: usize = Parameter::new("connectionPoolSize", Kind::integer(1, 100)).default("2");
        /// Longest wait for a connection, and then for an answer.
        pub timeout_millis: u64 =
            Parameter::new("connectionTimeout", Kind::integer(100, 60_000)).default("3000").unit("milliseconds");
        /// A connection idle for so long is closed, unless it is the last one.
        pub idle_seconds: u64 =
            Parameter::new("connectionIdleTimeoutInSeconds", Kind::integer(1, 86_400)).default("600").unit("seconds");
    }
}

context! {
    /// The server that phones with apps under development listen to.
    pub struct ApnsDevelopment = Context::single(Tree::Adp, "Applications/NotificationPushServer/APNS/Development") => {
        /// URL up to the device token.
        pub url: String = Parameter::new("url", HTTPS).default("https://api.development.push.apple.com/3/device");
        /// Connections for each team.
        pub pool_size: usize = Parameter::new("connectionPoolSize", Kind::integer(1, 100)).default("2");
        /// Longest wait for a connection, and then for an answer.
        pub timeout_millis: u64 =
            Parameter::new("connectionTimeout", Kind::integer(100, 60_000)).default("3000").unit("milliseconds");
        /// A connection idle for so long is closed, unless it is the last one.
        pub idle_seconds: u64 =
            Parameter::new("connectionIdleTimeoutInSeconds", Kind::integer(1, 86_400)).default("600").unit("seconds");
    }
}

context! {
    /// Keys that provider tokens are signed with.
    pub struct ApnsAuthKey = Context::table(Tree::Adp, "Applications/NotificationPushServer/APNS/AuthKey")
        .without(&["add", "set"])
        .actions(&[ADD_AUTH_KEY]) =>
    {
        /// Key id.
        pub auth_key_id: String = Parameter::new("authKeyId", Kind::text(10, 10)).header("Auth Key Id").key().left();
        /// Team id.
        pub team_id: String = Parameter::new("teamId", Kind::text(10, 10)).header("Team Id").mandatory().left();
        /// Content of the key file (PKCS#8, P-256).
        pub auth_key: Secret = Parameter::new("authKey", Kind::secret(KEY_FILE)).header("Auth Key").mandatory();
    }
}

context! {
    /// Applications pushed through the production server, and the key each is signed with.
    pub struct ProductionToken = Context::table(Tree::Adp, "Applications/NotificationPushServer/APNS/Production/Tokens") => {
        /// Application id: the app's bundle id.
        pub app_id: String = Parameter::new("appId", APPLICATION_ID).header("App Id").key().left();
        /// Key; none means that the cloud service gives the credentials.
        pub auth_key_id: Option<String> = Parameter::new("authKeyId", Kind::text(10, 10)).header("Auth Key Id").left();
    }
}

context! {
    /// Applications pushed through the development server, and the key each is signed with.
    pub struct DevelopmentToken = Context::table(Tree::Adp, "Applications/NotificationPushServer/APNS/Development/Tokens") => {
        /// Application id: the app's bundle id.
        pub app_id: String = Parameter::new("appId", APPLICATION_ID).header("App Id").key().left();
        /// Key; none means that the cloud service gives the credentials.
        pub auth_key_id: Option<String> = Parameter::new("authKeyId", Kind::text(10, 10)).header("Auth Key Id").left();
    }
}

const ADD_PROJECT: Action = Action {
    name: "add",
    help: "Adds a project with the key file of its service account; the file is read once and kept encrypted.",
    arguments: &[
        Parameter::new("projectId", Kind::text(1, 256)).mandatory().help("Project id."),
        Parameter::new("jsonKeyFile", Kind::File).mandatory().help("Key file (JSON) of the service account."),
    ],
    run: add_project,
};

const ADD_AUTH_KEY: Action = Action {
    name: "add",
    help: "Adds a key; the file is read once and kept encrypted.",
    arguments: &[
        Parameter::new("authKeyId", Kind::text(10, 10)).mandatory().help("Key id, 10 characters."),
        Parameter::new("teamId", Kind::text(10, 10)).mandatory().help("Team id, 10 characters."),
        Parameter::new("p8KeyFile", Kind::File).mandatory().help("Key file (.p8)."),
    ],
    run: add_auth_key,
};

fn argument<'a>(
    context: &ActionContext<'_>,
    arguments: &'a [Option<String>],
    index: usize,
    name: &str,
) -> Result<&'a str, Problems> {
    arguments.get(index).and_then(Option::as_deref).ok_or_else(|| {
        Problems(vec![Problem::new(context.context.full_path(), "is missing").parameter(name.to_owned())])
    })
}

fn add_row(context: &ActionContext<'_>, values: &[(&str, &str)]) -> ActionOutput {
    let values: BTreeMap<String, String> =
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let edits = vec![Edit::Add { context: context.context.full_path(), values }];
    ActionOutput { edits, ..ActionOutput::default() }
}

fn add_project(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let project_id = argument(context, arguments, 0, "projectId")?;
    let file = argument(context, arguments, 1, "jsonKeyFile")?;
    let refuse = |reason: String| {
        Problems(vec![Problem::new(context.context.full_path(), reason).parameter("jsonKeyFile")])
    };
    let account = fcm::ServiceAccount::parse(file).map_err(|error| refuse(error.to_string()))?;
    if let Some(own) = account.project_id.as_deref().filter(|own| *own != project_id) {
        return Err(refuse(format!("the file belongs to project {own}")));
    }
    Ok(add_row(context, &[("projectId", project_id), ("accountKey", file)]))
}

fn add_auth_key(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let key_id = argument(context, arguments, 0, "authKeyId")?;
    let team_id = argument(context, arguments, 1, "teamId")?;
    let file = argument(context, arguments, 2, "p8KeyFile")?;
    apns::SigningKey::parse(key_id, team_id, file).map_err(|error| {
        Problems(vec![Problem::new(context.context.full_path(), error.to_string()).parameter("p8KeyFile")])
    })?;
    Ok(add_row(context, &[("authKeyId", key_id), ("teamId", team_id), ("authKey", file)]))
}

/// References between tables, and what a kind cannot say.
fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    let fcm = snapshot.get::<Fcm>();
    if !fcm.push_url.contains(PROJECT_WORD) {
        let reason =
            format!("the word {PROJECT_WORD} is missing: every project would be pushed through the same URL");
        problems.push(Problem::new(Fcm::CONTEXT.full_path(), reason).parameter("pushURL"));
    }
    let projects: Vec<String> = snapshot.rows::<FcmProject>().into_iter().map(|row| row.project_id).collect();
    for application in snapshot.rows::<FcmApplication>() {
        if let Some(project) = application.project_id.filter(|id| !projects.contains(id)) {
            let reason = format!("there is no project {project}, which {} uses", application.application_id);
            problems.push(
                Problem::new(FcmApplication::CONTEXT.full_path(), reason)
                    .parameter("projectId")
                    .hint("a project is added before its applications and deleted after them")
                    .forceable(),
            );
        }
    }
    let keys: Vec<String> = snapshot.rows::<ApnsAuthKey>().into_iter().map(|row| row.auth_key_id).collect();
    let production = snapshot.rows::<ProductionToken>().into_iter();
    let production = production.map(|row| (ProductionToken::CONTEXT, row.app_id, row.auth_key_id));
    let development = snapshot.rows::<DevelopmentToken>().into_iter();
    let development = development.map(|row| (DevelopmentToken::CONTEXT, row.app_id, row.auth_key_id));
    for (context, app, key) in production.chain(development) {
        if let Some(key) = key.filter(|id| !keys.contains(id)) {
            problems.push(
                Problem::new(context.full_path(), format!("there is no key {key}, which {app} uses"))
                    .parameter("authKeyId")
                    .hint("a key is added before its applications and deleted after them")
                    .forceable(),
            );
        }
    }
    problems
}

/// All declarations of this application.
pub const MODULE: Module = Module::new("nps")
    .contexts(&[
        General::CONTEXT,
        AccessControl::CONTEXT,
        AccessClient::CONTEXT,
        Fcm::CONTEXT,
        FcmProject::CONTEXT,
        FcmApplication::CONTEXT,
        ApnsGeneral::CONTEXT,
        ApnsProduction::CONTEXT,
        ApnsDevelopment::CONTEXT,
        ApnsAuthKey::CONTEXT,
        ProductionToken::CONTEXT,
        DevelopmentToken::CONTEXT,
        CiscoCi::CONTEXT,
        CiscoCiClient::CONTEXT,
        CloudNpsService::CONTEXT,
    ])
    .checks(&[check, crate::cloud_settings::check]);
