//! Devices and the files that are built for them.

use crate::db::{WriteTx, fault, json};
use crate::template::{Encoding, Escape, fill};
use crate::tree::DeviceType;
use crate::{Shared, seal};
use async_trait::async_trait;
use aws_lc_rs::{constant_time, digest};
use openadp_appserver::{
    AccessDevice, DeviceCredentials, DeviceFile, DeviceLevel, Devices, FileChallenge, FileCredentials,
    FileDecision, FileRequest, PortError, PortResult, UserId,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest path of a file (dms.md section 4).
const MAX_PATH: usize = 256;

/// Device types of a fresh installation with their folder and the template of `config-wxt.xml` (dms.md section 2).
const SHIPPED: [(&str, &str, &str); 3] = [
    ("Business Communicator - PC", "bc/pc/", include_str!("../templates/desktop-config-wxt.xml")),
    ("Connect - Mobile", "connect/mobile/", include_str!("../templates/mobile-config-wxt.xml")),
    ("Connect - Tablet", "connect/tablet/", include_str!("../templates/mobile-config-wxt.xml")),
];
/// Most devices of one hardware address that are looked at.
const MOST_OF_ONE_ADDRESS: i64 = 100;
const CONFIG_WXT: &str = "config-wxt.xml";

/// The system default tag set: what the shipped templates use and nobody set. An empty URL hides its page.
const DEFAULT_TAGS: &[(&str, &str)] = &[
    ("XSI_ROOT_WXT", ""),
    ("XSI_ACTIONS_PATH_WXT", "/com.broadsoft.xsi-actions/"),
    ("XSI_EVENTS_PATH_WXT", "/com.broadsoft.xsi-events/"),
    ("WEB_CALL_SETTINGS_TARGET_WXT", "csw"),
    ("WEB_CALL_SETTINGS_URL_WXT", ""),
    ("ENABLE_UNIFIED_CALL_HISTORY_WXT", "false"),
    ("ENABLE_CALL_RECORDING_WXT", "false"),
    ("ENABLE_CALL_PARK_WXT", "false"),
    ("CALL_PARK_AUTO_CLOSE_DIALOG_TIMER_WXT", "10"),
    ("ENABLE_BUSY_LAMP_FIELD_WXT", "false"),
    ("ENABLE_BLF_DISPLAY_CALLER_WXT", "true"),
    ("BLF_NOTIFICATON_DELAY_TIME_WXT", "0"),
    ("ENABLE_AUTO_ANSWER_WXT", "false"),
    ("PERSONAL_ASSISTANT_ENABLED_WXT", "false"),
    ("ENABLE_CLID_OUTGOING_CALLS_WXT", "false"),
];

pub(crate) struct DeviceFiles {
    pub(crate) shared: Arc<Shared>,
}

/// Puts the shipped device types and templates into the store; what is there stays.
pub(crate) async fn ship(tx: &mut WriteTx) -> PortResult<()> {
    for (device_type, uri, template) in SHIPPED {
        sqlx::query("INSERT INTO device_types VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(device_type)
            .bind(uri)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        sqlx::query("INSERT INTO device_files VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING")
            .bind(device_type)
            .bind(CONFIG_WXT)
            .bind(template)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
    }
    Ok(())
}

/// A device with its owner, as a file is built from.
struct Device {
    id: i64,
    provider: String,
    group: String,
    name: String,
    /// Its device type.
    kind: String,
    line_port: String,
    mac: Option<String>,
    user_name: String,
    password: Vec<u8>,
    sip_user: String,
    sip_password: Vec<u8>,
    user_id: String,
    first_name: String,
    last_name: String,
    number: Option<String>,
    extension: Option<String>,
    country_code: String,
}

impl<'r> sqlx::FromRow<'r, SqliteRow> for Device {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("device_id")?,
            provider: row.try_get("provider")?,
            group: row.try_get("group_id")?,
            name: row.try_get("name")?,
            kind: row.try_get("device_type")?,
            line_port: row.try_get("line_port")?,
            mac: row.try_get("mac")?,
            user_name: row.try_get("user_name")?,
            password: row.try_get("password")?,
            sip_user: row.try_get("sip_user")?,
            sip_password: row.try_get("sip_password")?,
            user_id: row.try_get("user_id")?,
            first_name: row.try_get("first_name")?,
            last_name: row.try_get("last_name")?,
            number: row.try_get("number")?,
            extension: row.try_get("extension")?,
            country_code: row.try_get("country_code")?,
        })
    }
}

/// Whether two secrets are equal, in a time that tells neither where they differ nor how long they are.
fn equal(one: &str, other: &str) -> bool {
    let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    constant_time::verify_slices_are_equal(hash(one).as_ref(), hash(other).as_ref()).is_ok()
}

impl DeviceFiles {
    /// The device whose user name and password these are.
    async fn by_password(&self, credentials: &DeviceCredentials) -> PortResult<Option<Device>> {
        let device: Option<Device> = sqlx::query_as(
            "SELECT d.*, u.first_name, u.last_name, u.number, u.extension, u.country_code \
             FROM devices d JOIN users u USING (user_id) WHERE d.user_name = ?",
        )
        .bind(&credentials.user_name)
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        let expected = match &device {
            Some(device) => self.open(seal::DEVICE_PASSWORD, &device.user_name, &device.password)?,
            None => Zeroizing::new(String::new()),
        };
        let good = equal(&expected, &credentials.password);
        Ok(device.filter(|_| good && !expected.is_empty()))
    }

    /// The subscriber's device of a type; the oldest, if there are several.
    async fn of_user(&self, user: &UserId, device_type: &str) -> PortResult<Option<Device>> {
        sqlx::query_as(
            "SELECT d.*, u.first_name, u.last_name, u.number, u.extension, u.country_code \
             FROM devices d JOIN users u USING (user_id) WHERE d.user_id = ? AND d.device_type = ? \
             ORDER BY d.device_id LIMIT 1",
        )
        .bind(user.as_str())
        .bind(device_type)
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)
    }

    /// The devices with a hardware address; more than one is a mistake, or one device with several types.
    async fn by_address(&self, address: &str) -> PortResult<Vec<Device>> {
        sqlx::query_as(
            "SELECT d.*, u.first_name, u.last_name, u.number, u.extension, u.country_code \
             FROM devices d JOIN users u USING (user_id) WHERE d.mac = ? ORDER BY d.device_id LIMIT ?",
        )
        .bind(address)
        .bind(MOST_OF_ONE_ADDRESS)
        .fetch_all(self.shared.db.read())
        .await
        .map_err(fault)
    }

    fn open(&self, purpose: &str, user_name: &str, sealed: &[u8]) -> PortResult<Zeroizing<String>> {
        seal::open(self.shared.settings.machine_key(), purpose, user_name, sealed)
    }

    /// The device type that a path belongs to, by the longest folder, and the rest of the path.
    async fn type_of<'p>(&self, path: &'p str) -> PortResult<Option<(String, String, &'p str)>> {
        // Only these characters are in names that we hand out; so no path has two spellings.
        let good = path.len() <= MAX_PATH
            && path
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'@'))
            && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !good {
            return Ok(None);
        }
        let types: Vec<(String, String)> = sqlx::query_as("SELECT device_type, uri FROM device_types")
            .fetch_all(self.shared.db.read())
            .await
            .map_err(fault)?;
        let set = self.shared.settings.rows::<DeviceType>();
        let longest = types
            .into_iter()
            .map(|(device_type, uri)| {
                let uri = folder_of(&set, &device_type).unwrap_or(uri);
                (device_type, uri)
            })
            .filter(|(_, uri)| path.starts_with(uri.as_str()))
            .max_by_key(|(_, uri)| uri.len());
        Ok(longest.and_then(|(device_type, uri)| {
            let rest = path.get(uri.len()..)?;
            Some((device_type, uri, rest))
        }))
    }

    /// Custom tags that hold for a device, the most specific level winning (dms.md section 6).
    async fn tags(&self, device: &Device) -> PortResult<BTreeMap<String, String>> {
        let owners = [
            ("system", String::new()),
            ("provider", json(&[&device.provider])?),
            ("group", json(&[&device.provider, &device.group])?),
            ("device", device.id.to_string()),
        ];
        let mut tags: BTreeMap<String, String> =
            DEFAULT_TAGS.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        for (scope, owner) in owners {
            // What is set for the type comes after, and so wins over, what is set for all types of the level.
            let rows: Vec<(String, String)> = sqlx::query_as(
                "SELECT tag, value FROM tags WHERE scope = ?1 AND owner = ?2 AND device_type IN ('', ?3) \
                 ORDER BY device_type",
            )
            .bind(scope)
            .bind(&owner)
            .bind(&device.kind)
            .fetch_all(self.shared.db.read())
            .await
            .map_err(fault)?;
            tags.extend(rows);
        }
        Ok(tags)
    }

    /// Tags that the system itself gives; custom tags cannot override them.
    fn built_in(
        &self,
        device: &Device,
        uri: &str,
        language: Option<&str>,
    ) -> PortResult<BTreeMap<&'static str, Zeroizing<String>>> {
        let access = self.shared.device_access.load();
        let (line, host) = device.line_port.split_once('@').unwrap_or((&device.line_port, ""));
        let name = format!("{} {}", device.first_name, device.last_name);
        let number = device.number.clone().unwrap_or_default();
        let national =
            number.strip_prefix(&format!("+{}", device.country_code)).unwrap_or(&number).to_owned();
        let values = [
            ("BWDEVICEID", device.name.clone()),
            ("BWFQDEVICEID", format!("{}@{}@{}", device.provider, device.group, device.name)),
            ("BWMACADDRESS", device.mac.clone().unwrap_or_default()),
            ("BWLINEPORT-1", line.to_owned()),
            ("BWLINEPORT-PRIMARY", line.to_owned()),
            ("BWDISPLAYNAMELINEPORT", name.clone()),
            ("BWHOST-1", host.to_owned()),
            ("BWAUTHUSER-1", device.sip_user.clone()),
            ("BWE164-1", number.clone()),
            ("BWCLID-1", national),
            ("BWFIRSTNAME-1", device.first_name.clone()),
            ("BWLASTNAME-1", device.last_name.clone()),
            ("BWNAME-1", name),
            ("BWEXTENSION-1", device.extension.clone().unwrap_or_default()),
            ("BWUSERID-1", device.user_id.clone()),
            ("BWLANGUAGE-1", language.unwrap_or_default().to_owned()),
            ("BWDEVICEACCESSFQDN", access.fqdn.clone().unwrap_or_default()),
            ("BWDEVICEACCESSPORT", access.port.map(|port| port.to_string()).unwrap_or_default()),
            ("BWDEVICEACCESSPROTOCOL", access.protocol.clone()),
            ("BWDEVICEACCESSURI", uri.to_owned()),
        ];
        let mut tags: BTreeMap<_, _> =
            values.into_iter().map(|(tag, value)| (tag, Zeroizing::new(value))).collect();
        tags.insert(
            "BWAUTHPASSWORD-1",
            self.open(seal::SIP_PASSWORD, &device.user_name, &device.sip_password)?,
        );
        Ok(tags)
    }

    /// When this content was first built, remembering it if it is new.
    async fn built_at(&self, device: &Device, format: &str, content: &[u8]) -> PortResult<i64> {
        let hash = digest::digest(&digest::SHA256, content);
        let known: Option<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT digest, built_at FROM builds WHERE device_id = ? AND file_format = ?")
                .bind(device.id)
                .bind(format)
                .fetch_optional(self.shared.db.read())
                .await
                .map_err(fault)?;
        if let Some((_, built_at)) = known.filter(|(known, _)| known == hash.as_ref()) {
            return Ok(built_at);
        }
        let mut tx = self.shared.db.begin().await?;
        let now = tx.now;
        sqlx::query(
            "INSERT INTO builds VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest, \
             built_at = excluded.built_at",
        )
        .bind(device.id)
        .bind(format)
        .bind(hash.as_ref())
        .bind(now)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        tx.commit().await?;
        Ok(now)
    }

    /// Builds the file of a device whose name is the rest of a path.
    async fn build(&self, device: &Device, uri: &str, name: &str, secure: bool) -> PortResult<FileDecision> {
        let set = self.shared.settings.rows::<DeviceType>();
        let own = set.iter().find(|row| row.device_type == device.kind);
        let built_in = self.built_in(device, uri, own.and_then(|row| row.language.as_deref()))?;
        let files: Vec<(String, String, bool)> = sqlx::query_as(
            "SELECT file_format, template, confidential FROM device_files WHERE device_type = ?",
        )
        .bind(&device.kind)
        .fetch_all(self.shared.db.read())
        .await
        .map_err(fault)?;
        // The name that a device asks for may hold tags itself: %BWMACADDRESS%.cfg.
        let own_name = |format: &str| {
            fill(format, Escape::Plain, |tag| built_in.get(tag).map(|v| Cow::Borrowed(v.as_str())))
        };
        let Some((format, template, confidential)) =
            files.into_iter().find(|(format, ..)| own_name(format) == name)
        else {
            return Ok(FileDecision::NotFound);
        };
        if confidential && !secure {
            return Ok(FileDecision::Challenge(FileChallenge::Password));
        }
        let custom = self.tags(device).await?;
        let escape = Escape::of(name);
        let value = |tag: &str| {
            let built_in = built_in.get(tag).map(|value| Cow::Borrowed(value.as_str()));
            built_in.or_else(|| custom.get(tag).map(|value| Cow::Borrowed(value.as_str()))).or_else(|| {
                // Lines beyond those of the device are empty.
                let line = tag.rsplit_once('-').map(|(_, line)| line);
                let numbered =
                    line.is_some_and(|line| !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()));
                (tag.starts_with("BW") && numbered).then_some(Cow::Borrowed(""))
            })
        };
        let encoding = Encoding::of(own.and_then(|row| row.encoding.as_deref()));
        let content = encoding.encode(fill(&template, escape, value), escape);
        let built_at = self.built_at(device, &format, &content).await?;
        Ok(FileDecision::File(DeviceFile {
            name: name.to_owned(),
            content,
            content_type: escape.content_type(encoding),
            confidential,
            built_at,
        }))
    }
}

#[async_trait]
impl Devices for DeviceFiles {
    async fn devices(&self, user: &UserId) -> PortResult<Vec<AccessDevice>> {
        let access = self.shared.device_access.load();
        let set = self.shared.settings.rows::<DeviceType>();
        let base = access.fqdn.as_ref().map(|fqdn| {
            let host = if fqdn.contains(':') { format!("[{fqdn}]") } else { fqdn.clone() };
            let port = access.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", access.protocol)
        });
        let mut tx = self.shared.db.snapshot().await?;
        let found: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fault)?;
        found.ok_or(PortError::NotFound { what: "user" })?;
        let rows: Vec<(String, String, String, String, String, String, Vec<u8>, bool)> = sqlx::query_as(
            "SELECT d.name, d.level, d.device_type, d.line_port, t.uri, d.user_name, d.password, \
             d.allow_termination FROM devices d JOIN device_types t USING (device_type) WHERE d.user_id = ? ORDER BY d.device_id",
        )
        .bind(user.as_str())
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
        rows.into_iter()
            .map(|(name, level, device_type, line_port, uri, user_name, password, allow_termination)| {
                let credentials = if access.allow_credential_read_out {
                    let password = self.open(seal::DEVICE_PASSWORD, &user_name, &password)?;
                    Some(DeviceCredentials { user_name, password: password.to_string() })
                } else {
                    None
                };
                let own = set.iter().find(|row| row.device_type == device_type);
                let context_name =
                    own.and_then(|row| row.context_name.as_deref()).unwrap_or(&access.context_name);
                let folder = own.map_or(uri, DeviceType::folder);
                let type_url =
                    base.as_ref().map(|base| format!("{base}/{}/{folder}", context_name.trim_matches('/')));
                Ok(AccessDevice {
                    name,
                    level: level_of(&level),
                    device_type,
                    line_port,
                    type_url,
                    credentials,
                    allow_termination,
                })
            })
            .collect()
    }

    async fn allow_termination(&self, user: &UserId, line_port: &str, allow: bool) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let changed = sqlx::query(
            "UPDATE devices SET allow_termination = ? WHERE user_id = ? AND lower(line_port) = lower(?)",
        )
        .bind(allow)
        .bind(user.as_str())
        .bind(line_port)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        if changed.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "device" });
        }
        choose_line(&mut tx, user).await?;
        tx.commit().await
    }

    async fn file(&self, request: &FileRequest) -> PortResult<FileDecision> {
        let challenge = FileDecision::Challenge(FileChallenge::Password);
        let place = self.type_of(&request.path).await?;
        // Who it is comes before what it asks for: without valid credentials every path looks alike.
        let device = match &request.credentials {
            FileCredentials::None => return Ok(challenge),
            FileCredentials::Password(credentials) => match self.by_password(credentials).await? {
                None => return Ok(challenge),
                Some(device) => Some(device),
            },
            FileCredentials::Subscriber(user) => match &place {
                Some((device_type, ..)) => self.of_user(user, device_type).await?,
                None => None,
            },
            FileCredentials::HardwareAddress(address) => {
                let devices = self.by_address(address).await?;
                if devices.is_empty() {
                    return Ok(challenge);
                }
                let wanted = place.as_ref().map(|(device_type, ..)| device_type.as_str());
                let mut fitting = devices.into_iter().filter(|device| Some(device.kind.as_str()) == wanted);
                // Two of one type and address: whose file it would be is not known.
                fitting.next().filter(|_| fitting.next().is_none())
            }
        };
        match (device, place) {
            (Some(device), Some((device_type, uri, name))) if device.kind == device_type => {
                self.build(&device, &uri, name, request.secure).await
            }
            _ if request.secure => Ok(FileDecision::NotFound),
            _ => Ok(challenge),
        }
    }
}

/// Makes the first device where calls may end the one that they are on; the first of all where there is none.
pub(crate) async fn choose_line(tx: &mut WriteTx, user: &UserId) -> PortResult<()> {
    sqlx::query(
        "UPDATE users SET line_port = (SELECT line_port FROM devices WHERE user_id = ?1 \
         ORDER BY allow_termination DESC, device_id LIMIT 1) WHERE user_id = ?1",
    )
    .bind(user.as_str())
    .execute(tx.conn())
    .await
    .map_err(fault)?;
    Ok(())
}

/// Whether calls may end at any device of a subscriber. Who has none is reached all the same: the server knows devices, not
/// all that rings.
pub(crate) async fn takes_calls(conn: &mut SqliteConnection, user: &UserId) -> PortResult<bool> {
    let (takes,): (bool,) = sqlx::query_as(
        "SELECT NOT EXISTS (SELECT 1 FROM devices WHERE user_id = ?1) \
         OR EXISTS (SELECT 1 FROM devices WHERE user_id = ?1 AND allow_termination)",
    )
    .bind(user.as_str())
    .fetch_one(conn)
    .await
    .map_err(fault)?;
    Ok(takes)
}

/// The folder that operators set for a device type.
fn folder_of(set: &[DeviceType], device_type: &str) -> Option<String> {
    set.iter().find(|row| row.device_type == device_type).map(DeviceType::folder)
}

fn level_of(name: &str) -> DeviceLevel {
    match name {
        "provider" => DeviceLevel::ServiceProvider,
        "system" => DeviceLevel::System,
        _ => DeviceLevel::Group,
    }
}
