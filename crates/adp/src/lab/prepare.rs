//! Making a lab out of an empty folder, and moving a made one to other ports.

use super::identity;
use super::people::{COUNTRY_CODE, DOMAIN, ENTERPRISE, GROUPS, PEOPLE, Person, extension, group, number};
use super::plan::{LOOPBACK, Plan, Ports};
use super::secrets;
use super::seed::{Administrator, ApnsKey, FcmProject, Seed, Subscriber};
use crate::hosted;
use anyhow::{Context as _, Result, anyhow, bail};
use openadp_appserver::{
    AdminLevel, Clock as _, DeviceLevel, DeviceToken, PortError, PushRegistration, SystemClock, UserId,
};
use openadp_appserver_embedded::{
    EmbeddedApplicationServer, NewAdministrator, NewDevice, NewSubscriber, Options, Provisioning, TagScope,
};
use openadp_outgoing::OutgoingName;
use openadp_settings::{Author, Change, Edit, Registry, Secret, Store};
use openadp_tls::authority::{KeyType, LabAuthority};
use openadp_wake::Wake;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Common name of the lab's CTI client.
pub(crate) const CTI_CLIENT: &str = "cti.lab.invalid";
/// Id of the lab's iOS app.
pub(crate) const IOS_APP: &str = "lab.ios";
/// Id of the lab's Android app.
pub(crate) const ANDROID_APP: &str = "lab.android";
const FCM_PROJECT: &str = "lab-project";

/// Makes sure that the data directory holds a seeded lab on these ports (the seed's own where none are given).
///
/// Whoever comes first seeds, under a lock; all others find the same accounts.
pub(crate) fn prepare(data_dir: &Path, ports: Option<Ports>) -> Result<(Plan, Seed)> {
    let folder = data_dir.join("lab");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for private in [data_dir, folder.as_path()] {
        std::fs::set_permissions(private, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .with_context(|| format!("closing {} to others", private.display()))?;
    }
    let lock = File::create(folder.join("seed.lock")).context("making the seed's lock")?;
    lock.lock().context("waiting for the seed's lock")?;

    let mut seed = match Seed::read(data_dir)? {
        Some(seed) => seed,
        None => plant(data_dir, ports.unwrap_or(Ports::DEFAULT))?,
    };
    if let Some(ports) = ports.filter(|ports| *ports != seed.ports) {
        if running_lock(data_dir)?.is_none() {
            bail!("a lab runs in {} on other ports; stop it or leave --port-base out", data_dir.display());
        }
        let store = open_store(data_dir)?;
        let names: Vec<String> = store.rows::<OutgoingName>().into_iter().map(|row| row.name).collect();
        commit(&store, "move to other ports", moved(&seed.ports, &ports, &names))?;
        install_certificates(&store, &Plan { data_dir: data_dir.to_owned(), ports })?;
        runtime()?.block_on(async {
            let provisioned = Provisioned::open(data_dir, store).await?;
            let put = provisioned.put_addresses(&ports).await;
            provisioned.close().await;
            put
        })?;
        seed.ports = ports;
        seed.write(data_dir)?;
    }
    Ok((Plan { data_dir: data_dir.to_owned(), ports: seed.ports }, seed))
}

/// The lock that a running lab holds; `None` while another one runs.
pub(crate) fn running_lock(data_dir: &Path) -> Result<Option<File>> {
    let file = File::create(data_dir.join("lab/running.lock")).context("making the lab's lock")?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error).context("taking the lab's lock"),
    }
}

fn open_store(data_dir: &Path) -> Result<Arc<Store>> {
    let registry = Registry::new(hosted::modules()).context("declarations")?;
    Store::open(data_dir, registry).context("opening the settings")
}

fn author() -> Author {
    Author("lab".to_owned())
}

fn commit(store: &Arc<Store>, comment: &str, edits: Vec<Edit>) -> Result<()> {
    let change = Change { author: author(), comment: Some(comment.to_owned()), edits, force: false };
    store.commit(&change, SystemClock.now()).map_err(|problems| anyhow!("{comment}: {problems}"))?;
    Ok(())
}

pub(super) fn set(context: &str, values: &[(&str, &str)]) -> Edit {
    Edit::Set { context: context.to_owned(), key: Vec::new(), values: pairs(values, Some) }
}

pub(super) fn add(context: &str, values: &[(&str, &str)]) -> Edit {
    Edit::Add { context: context.to_owned(), values: pairs(values, |text| text) }
}

pub(super) fn delete(context: &str, key: &[String]) -> Edit {
    Edit::Delete { context: context.to_owned(), key: key.to_vec() }
}

fn pairs<T>(values: &[(&str, &str)], wrap: impl Fn(String) -> T) -> BTreeMap<String, T> {
    values.iter().map(|(name, value)| ((*name).to_owned(), wrap((*value).to_owned()))).collect()
}

const HTTP_SERVER: &str = "ADP_CLI/Interface/Http/HttpServer";
const HTTP_CERTIFICATES: &str = "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates";
const CTI_SERVER: &str = "ADP_CLI/Interface/CTI/CTIServer";
const CTI_CERTIFICATES: &str = "ADP_CLI/Interface/CTI/CTIServer/SSLSettings/Certificates";
const NPS: &str = "ADP_CLI/Applications/NotificationPushServer";

/// Settings that name a port, for one set of ports.
fn interfaces(ports: &Ports) -> Vec<Edit> {
    let ip = LOOPBACK.to_string();
    let http = |port: u16| {
        add(
            HTTP_SERVER,
            &[
                ("interfaceIp", &ip),
                ("port", &port.to_string()),
                ("name", "localhost"),
                ("secure", "true"),
                ("clientAuthReq", "false"),
            ],
        )
    };
    let cti = |port: u16, secure: &str| {
        add(
            CTI_SERVER,
            &[
                ("interfaceIp", &ip),
                ("port", &port.to_string()),
                ("secure", secure),
                ("serverCertificate", secure),
                ("clientAuthReq", secure),
            ],
        )
    };
    let mut edits =
        vec![http(ports.https), http(ports.nps), cti(ports.cti, "false"), cti(ports.cti_tls, "true")];
    edits.extend(addresses(ports));
    edits.extend(identity::names(ports));
    edits
}

/// Settings that hold an address of the lab.
fn addresses(ports: &Ports) -> Vec<Edit> {
    vec![
        set(
            "AS_CLI/System/DeviceAccess",
            &[("deviceAccessFQDN", &LOOPBACK.to_string()), ("deviceAccessPort", &ports.https.to_string())],
        ),
        set("AS_CLI/System/NotificationPushServer", &[("url", &Plan::https(ports.nps, "/nps"))]),
        set(&format!("{NPS}/APNS/Production"), &[("url", &Plan::https(ports.apns, "/3/device"))]),
        set(
            &format!("{NPS}/FCM"),
            &[
                ("V1Enabled", "true"),
                ("authURL", &Plan::https(ports.fcm, "/oauth2/v4/token")),
                ("pushURL", &Plan::https(ports.fcm, "/v1/projects/PROJECT-ID/messages:send")),
            ],
        ),
    ]
}

/// What changes when a made lab moves to other ports: only what the lab itself had set.
fn moved(from: &Ports, to: &Ports, names: &[String]) -> Vec<Edit> {
    let ip = LOOPBACK.to_string();
    let mut edits: Vec<Edit> = [from.https, from.nps]
        .iter()
        .map(|port| delete(HTTP_SERVER, &[ip.clone(), port.to_string()]))
        .chain(
            [from.cti, from.cti_tls].iter().map(|port| delete(CTI_SERVER, &[ip.clone(), port.to_string()])),
        )
        .collect();
    for port in [from.https, from.nps] {
        for (key_type, _) in SERVER_CERTIFICATES {
            edits
                .push(delete(HTTP_CERTIFICATES, &[ip.clone(), port.to_string(), key_type.name().to_owned()]));
        }
    }
    edits.extend(identity::forget_names(names));
    edits.extend(interfaces(to));
    edits
}

/// Seeds everything; the seed file comes last, so that a lab killed on the way begins anew.
fn plant(data_dir: &Path, ports: Ports) -> Result<Seed> {
    // What an earlier attempt left behind is not known to be whole.
    for part in ["settings", "appserver", "keystore", "tls", "lab/certificates"] {
        match std::fs::remove_dir_all(data_dir.join(part)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("clearing {part}")),
        }
    }
    let plan = Plan { data_dir: data_dir.to_owned(), ports };
    let store = open_store(data_dir)?;
    let (apns_key, fcm_key) = (secrets::p256()?, secrets::rsa()?);
    let apns = ApnsKey {
        key_id: "LABKEY0001".to_owned(),
        team_id: "LABTEAM001".to_owned(),
        public_key: apns_key.public,
    };
    let fcm = FcmProject {
        project_id: FCM_PROJECT.to_owned(),
        client_email: format!("push@{FCM_PROJECT}.lab.invalid"),
        key_id: secrets::hex(20)?,
        public_key: fcm_key.public,
    };
    plant_settings(&store, &plan, &apns, &apns_key.private, &fcm, &fcm_key.private)?;

    let (subscribers, administrators) = runtime()?.block_on(plant_people(data_dir, store, &ports))?;
    let seed = Seed { ports, subscribers, administrators, apns, fcm };
    seed.write(data_dir)?;
    Ok(seed)
}

fn plant_settings(
    store: &Arc<Store>,
    plan: &Plan,
    apns: &ApnsKey,
    apns_private: &str,
    fcm: &FcmProject,
    fcm_private: &str,
) -> Result<()> {
    let ip = LOOPBACK.to_string();
    let authority = LabAuthority::open(&plan.certificates()).context("making the lab's authority")?;
    let ca = authority.certificate_pem();

    let secret = secrets::hex(16)?;
    let account = json!({
        "type": "service_account",
        "project_id": fcm.project_id,
        "private_key_id": fcm.key_id,
        "private_key": fcm_private,
        "client_email": fcm.client_email,
        "token_uri": Plan::https(plan.ports.fcm, "/oauth2/v4/token"),
    })
    .to_string();
    let mut edits = interfaces(&plan.ports);
    edits.extend(identity::client()?);
    edits.extend([
        set(
            "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CertificateAuthentication",
            &[("allowClientApp", "true")],
        ),
        add("AS_CLI/System/ClientIdentity", &[("commonName", CTI_CLIENT)]),
        set("AS_CLI/System/SignIn", &[("defaultDomain", DOMAIN)]),
        set("AS_CLI/System/DeviceAccess", &[("allowCredentialReadOut", "true")]),
        set("AS_CLI/System/NotificationPushServer", &[("sharedSecret", &secret)]),
        set(&format!("{NPS}/AccessControl"), &[("sharedSecret", &secret)]),
        add(&format!("{NPS}/APNS/AuthKey"), &[
            ("authKeyId", &apns.key_id),
            ("teamId", &apns.team_id),
            ("authKey", apns_private),
        ]),
        add(&format!("{NPS}/APNS/Production/Tokens"), &[("appId", IOS_APP), ("authKeyId", &apns.key_id)]),
        add(&format!("{NPS}/FCM/Projects"), &[("projectId", &fcm.project_id), ("accountKey", &account)]),
        add(&format!("{NPS}/FCM/Applications"), &[("applicationId", ANDROID_APP), ("projectId", &fcm.project_id)]),
    ]);
    commit(store, "seed the lab", edits)?;

    for context in [
        "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication/Trusts",
        "ADP_CLI/Interface/CTI/SSLCommonSettings/ClientAuthentication/Trusts",
        "ADP_CLI/System/SSLCommonSettings/Trusts/BroadWorks",
    ] {
        act(store, context, "updateTrust", &["lab-authority", ca])?;
    }
    for (key_type, stem) in SERVER_CERTIFICATES {
        let issued =
            authority.issue_server(&[&ip, "::1", "localhost"], key_type).context("issuing a certificate")?;
        issued.write(&plan.certificates(), stem).context("writing a certificate")?;
    }
    install_certificates(store, plan)?;
    identity::certificate(&authority, plan)?;
    let client = authority.issue_client(CTI_CLIENT).context("issuing the CTI client's certificate")?;
    client.write(&plan.certificates(), "cti-client").context("writing the CTI client's certificate")?;
    Ok(())
}

/// An RSA and a P-256 certificate side by side, so that every negotiable suite works.
const SERVER_CERTIFICATES: [(KeyType, &str); 2] =
    [(KeyType::Rsa, "server-rsa"), (KeyType::Ec, "server-p256")];

/// Puts the lab's server certificates on its interfaces.
fn install_certificates(store: &Arc<Store>, plan: &Plan) -> Result<()> {
    let ip = LOOPBACK.to_string();
    let folder = plan.certificates();
    let read = |name: String| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let ca = read("ca.crt".to_owned())?;
    for (_, stem) in SERVER_CERTIFICATES {
        let (key, certificate) = (read(format!("{stem}.key"))?, read(format!("{stem}.crt"))?);
        for port in [plan.ports.https, plan.ports.nps] {
            act(store, HTTP_CERTIFICATES, "sslUpdate", &[&ip, &port.to_string(), &key, &certificate, &ca])?;
        }
        act(store, CTI_CERTIFICATES, "sslUpdate", &[&ip, &key, &certificate, &ca])?;
    }
    Ok(())
}

fn act(store: &Arc<Store>, context: &str, action: &str, arguments: &[&str]) -> Result<()> {
    let arguments: Vec<Option<String>> = arguments.iter().map(|text| Some((*text).to_owned())).collect();
    store
        .run_action(context, action, &arguments, &author(), false, SystemClock.now())
        .map_err(|problems| anyhow!("{context} {action}: {problems}"))?;
    Ok(())
}

/// The application server of a data directory, for as long as the lab is being made or moved.
struct Provisioned {
    server: EmbeddedApplicationServer,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Provisioned {
    async fn open(data_dir: &Path, settings: Arc<Store>) -> Result<Self> {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let server = EmbeddedApplicationServer::open(Options {
            data_dir: data_dir.to_owned(),
            wake: Wake::in_process(),
            clock: Arc::new(SystemClock),
            settings,
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            push_sender: None,
        })
        .await
        .context("opening the application server")?;
        Ok(Self { server, tasks, shutdown })
    }

    /// Tags of device files that hold an address of the lab.
    async fn put_addresses(&self, ports: &Ports) -> Result<()> {
        let root = Plan::https(ports.https, "/");
        self.server
            .provisioning()
            .put_tag(&TagScope::System, None, "XSI_ROOT_WXT", &root)
            .await
            .context("setting the tag of Xsi's address")
    }

    async fn close(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.server.close().await;
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting a runtime")
}

/// How often seeding somebody is tried: on a busy machine writers wait longer for each other than a request may, and
/// everything planted may be planted again.
const TRIES: usize = 30;

fn is_busy(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref::<PortError>(), Some(PortError::Unavailable(_))))
}

async fn plant_people(
    data_dir: &Path,
    settings: Arc<Store>,
    ports: &Ports,
) -> Result<(Vec<Subscriber>, Vec<Administrator>)> {
    let provisioned = Provisioned::open(data_dir, settings).await?;
    let provisioning = provisioned.server.provisioning();
    provisioning.put_provider(ENTERPRISE, true).await?;
    for group in &GROUPS {
        provisioning.put_group(ENTERPRISE, group.id).await?;
    }
    provisioned.put_addresses(ports).await?;
    // Hashing a password is slow on purpose, so all cores do it.
    let mut hashing = tokio::task::JoinSet::new();
    for (index, person) in PEOPLE.iter().enumerate() {
        let server = provisioned.server.clone();
        hashing.spawn(async move {
            let mut left = TRIES;
            loop {
                left -= 1;
                match plant_person(&server, index, person).await {
                    Err(error) if left > 0 && is_busy(&error) => {}
                    planted => return planted.map(|planted| (index, planted)),
                }
            }
        });
    }
    let mut subscribers = BTreeMap::new();
    while let Some(joined) = hashing.join_next().await {
        let (index, subscriber) = joined.context("seeding a subscriber")??;
        subscribers.insert(index, subscriber);
    }
    let administrators = plant_administrators(&provisioning).await?;
    provisioned.close().await;
    Ok((subscribers.into_values().collect(), administrators))
}

async fn plant_administrators(provisioning: &Provisioning) -> Result<Vec<Administrator>> {
    let mut administrators = Vec::new();
    for (login, level, reach) in [
        ("system.admin", "system", AdminLevel::System),
        ("enterprise.admin", "enterprise", AdminLevel::ServiceProvider { provider: ENTERPRISE.to_owned() }),
        (
            "harbour.admin",
            "group",
            AdminLevel::Group { provider: ENTERPRISE.to_owned(), group: GROUPS[0].id.to_owned() },
        ),
    ] {
        let account = Administrator {
            user_id: format!("{login}@{DOMAIN}"),
            password: secrets::password()?,
            level: level.to_owned(),
        };
        provisioning
            .put_administrator(&NewAdministrator {
                user_id: UserId::new(&account.user_id),
                level: reach,
                password: Secret::new(account.password.as_str()),
            })
            .await?;
        administrators.push(account);
    }
    Ok(administrators)
}

async fn plant_person(
    server: &EmbeddedApplicationServer,
    index: usize,
    person: &Person,
) -> Result<Subscriber> {
    let provisioning = server.provisioning();
    let planted = Subscriber {
        user_id: person.user_id(),
        password: secrets::password()?,
        number: number(index),
        extension: extension(index),
        group: group(index).id.to_owned(),
        enterprise: ENTERPRISE.to_owned(),
    };
    let user_id = UserId::new(&planted.user_id);
    provisioning
        .put_subscriber(&NewSubscriber {
            user_id: user_id.clone(),
            provider: ENTERPRISE.to_owned(),
            group: planted.group.clone(),
            first_name: person.first_name.to_owned(),
            last_name: person.last_name.to_owned(),
            number: Some(planted.number.clone()),
            extension: Some(planted.extension.clone()),
            country_code: COUNTRY_CODE.to_owned(),
            mobile: Some(format!("+1646555{:04}", 100 + index)),
            email_address: Some(planted.user_id.clone()),
            title: Some(person.title.to_owned()),
            department: Some(person.department.to_owned()),
            time_zone: Some("America/New_York".to_owned()),
            password: Secret::new(planted.password.as_str()),
        })
        .await
        .with_context(|| format!("seeding {user_id}"))?;
    provisioning
        .put_alternate_id(&user_id, &planted.number)
        .await
        .with_context(|| format!("seeding {user_id}"))?;
    for (suffix, device_type) in
        [("pc", "Business Communicator - PC"), ("mobile", "Connect - Mobile"), ("tablet", "Connect - Tablet")]
    {
        let login = format!("{}_{suffix}", person.login);
        provisioning
            .put_device(&NewDevice {
                user_id: user_id.clone(),
                name: login.clone(),
                level: DeviceLevel::Group,
                device_type: device_type.to_owned(),
                line_port: format!("{login}@{DOMAIN}"),
                mac: None,
                user_name: login.clone(),
                password: Secret::new(secrets::password()?),
                sip_user_name: login,
                sip_password: Secret::new(secrets::password()?),
            })
            .await
            .with_context(|| format!("seeding the {suffix} of {user_id}"))?;
    }
    let push = server.ports().push;
    for (application_id, device_os_type, kind, token) in [
        (IOS_APP, "ios", "VoIP", secrets::hex(32)?),
        (ANDROID_APP, "android", "Normal", format!("lab-{}", secrets::hex(48)?)),
    ] {
        push.put_registration(
            &user_id,
            &PushRegistration {
                registration_id: format!("{device_os_type}-{}", person.login),
                application_id: application_id.to_owned(),
                application_version: "1.0".to_owned(),
                device_os_type: device_os_type.to_owned(),
                device_os_version: "26".to_owned(),
                tokens: vec![DeviceToken {
                    token,
                    kind: kind.to_owned(),
                    events: vec!["NEW_CALL".to_owned()],
                }],
            },
        )
        .await
        .with_context(|| format!("registering an app of {user_id}"))?;
    }
    Ok(planted)
}
