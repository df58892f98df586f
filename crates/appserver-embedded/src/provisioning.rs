//! Provisioning: what an administrator creates. Used by the lab and by tests; every operation can be repeated.

use crate::db::{fault, json};
use crate::directory::{self, Entries, PhoneListOwner};
use crate::{Shared, events, seal};
use openadp_appserver::{
    AdminLevel, DeviceLevel, Event, PhoneListEntry, PortError, PortResult, ServiceKind, UserId,
};
use openadp_settings::Secret;
use std::sync::Arc;

/// A subscriber.
#[derive(Debug, Clone)]
pub struct NewSubscriber {
    /// User id with domain.
    pub user_id: UserId,
    /// Service provider or enterprise.
    pub provider: String,
    /// Group.
    pub group: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E.164 number with `+`, no dashes; unique in the server.
    pub number: Option<String>,
    /// Extension; unique in the group.
    pub extension: Option<String>,
    /// Country code of the number, without `+`.
    pub country_code: String,
    /// Mobile number.
    pub mobile: Option<String>,
    /// E-mail address.
    pub email_address: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Time zone name.
    pub time_zone: Option<String>,
    /// Web password, used if the subscriber has none yet; [`Provisioning::set_password`] changes it.
    pub password: Secret,
}

/// An administrator.
#[derive(Debug, Clone)]
pub struct NewAdministrator {
    /// User id with domain.
    pub user_id: UserId,
    /// How far its rights reach.
    pub level: AdminLevel,
    /// Web password, used if there is none yet.
    pub password: Secret,
}

/// A device of a subscriber.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Whose it is.
    pub user_id: UserId,
    /// Name; unique in the group.
    pub name: String,
    /// Level at which it is defined.
    pub level: DeviceLevel,
    /// Device type, `Business Communicator - PC` say.
    pub device_type: String,
    /// Line and port with domain, `alice_pc@lab.example` say.
    pub line_port: String,
    /// MAC address, twelve hexadecimal digits.
    pub mac: Option<String>,
    /// User name for its files; unique in the server.
    pub user_name: String,
    /// Password for its files.
    pub password: Secret,
    /// SIP user name.
    pub sip_user_name: String,
    /// SIP password.
    pub sip_password: Secret,
}

/// At which level a custom tag is set (dms.md section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagScope {
    /// Everybody.
    System,
    /// A service provider or enterprise.
    ServiceProvider {
        /// Its id.
        provider: String,
    },
    /// A group.
    Group {
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
    },
    /// A device.
    Device {
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
        /// Its name.
        name: String,
    },
}

/// Creates and changes what is administered.
#[derive(Clone)]
pub struct Provisioning {
    shared: Arc<Shared>,
}

pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> PortError {
    PortError::Invalid { field, reason: reason.into() }
}

/// Text of at most `max` characters without control characters (dms.md section 3 and cli.md use 80 and 161).
pub(crate) fn check(field: &'static str, text: &str, max: usize) -> PortResult<()> {
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(invalid(field, format!("1 to {max} characters without control characters")));
    }
    Ok(())
}

/// A constraint that the change would break, told as a conflict.
pub(crate) fn conflict(what: &'static str) -> impl FnOnce(sqlx::Error) -> PortError {
    move |error| match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => PortError::Conflict { what },
        sqlx::Error::Database(database) if database.is_foreign_key_violation() => {
            PortError::NotFound { what }
        }
        _ => fault(error),
    }
}

impl Provisioning {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Creates a service provider or enterprise.
    ///
    /// # Errors
    /// `Invalid` for an id that is none.
    pub async fn put_provider(&self, provider: &str, is_enterprise: bool) -> PortResult<()> {
        check("provider", provider, 80)?;
        let mut tx = self.shared.db.begin().await?;
        sqlx::query("INSERT INTO providers VALUES (?, ?) ON CONFLICT DO UPDATE SET is_enterprise = excluded.is_enterprise")
            .bind(provider)
            .bind(is_enterprise)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.commit().await
    }

    /// Creates a group.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown service provider.
    pub async fn put_group(&self, provider: &str, group: &str) -> PortResult<()> {
        check("group", group, 80)?;
        let mut tx = self.shared.db.begin().await?;
        sqlx::query("INSERT INTO groups VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(provider)
            .bind(group)
            .execute(tx.conn())
            .await
            .map_err(conflict("service provider"))?;
        tx.commit().await
    }

    /// Creates a subscriber with all services, or changes the data of one; the password is set if there was none.
    ///
    /// Hashing takes a few hundredths of a second: make many at once to use all cores.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown group, `Conflict` when the number or extension is somebody else's.
    pub async fn put_subscriber(&self, subscriber: &NewSubscriber) -> PortResult<()> {
        check_subscriber(subscriber)?;
        let phc = self.first_password(&subscriber.user_id, &subscriber.password).await?;
        let mut tx = self.shared.db.begin().await?;
        Self::write_subscriber(&mut tx, subscriber, phc).await?;
        tx.commit().await
    }

    /// Creates many subscribers at once, all or none. All that are new get the password of the first, which is hashed once:
    /// for test installations, where hashing a password for each would take hours.
    ///
    /// # Errors
    /// As of [`put_subscriber`](Self::put_subscriber).
    pub async fn put_subscribers(&self, subscribers: &[NewSubscriber]) -> PortResult<()> {
        let Some(first) = subscribers.first() else { return Ok(()) };
        subscribers.iter().try_for_each(check_subscriber)?;
        Self::check_password(&first.password)?;
        let phc = self.shared.hasher.hash(first.password.expose()).await?;
        let mut tx = self.shared.db.begin().await?;
        for subscriber in subscribers {
            Self::write_subscriber(&mut tx, subscriber, Some(phc.clone())).await?;
        }
        tx.commit().await
    }

    /// Writes a subscriber that was checked.
    async fn write_subscriber(
        tx: &mut crate::db::WriteTx,
        s: &NewSubscriber,
        phc: Option<String>,
    ) -> PortResult<()> {
        sqlx::query(
            "INSERT INTO users (user_id, provider, group_id, first_name, last_name, number, extension, country_code, \
             mobile, email, title, department, time_zone, line_port) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user_id) DO UPDATE SET \
             provider = excluded.provider, group_id = excluded.group_id, first_name = excluded.first_name, \
             last_name = excluded.last_name, number = excluded.number, extension = excluded.extension, \
             country_code = excluded.country_code, mobile = excluded.mobile, email = excluded.email, \
             title = excluded.title, department = excluded.department, time_zone = excluded.time_zone",
        )
        .bind(s.user_id.as_str())
        .bind(&s.provider)
        .bind(&s.group)
        .bind(&s.first_name)
        .bind(&s.last_name)
        .bind(&s.number)
        .bind(&s.extension)
        .bind(&s.country_code)
        .bind(&s.mobile)
        .bind(&s.email_address)
        .bind(&s.title)
        .bind(&s.department)
        .bind(&s.time_zone)
        .bind(s.user_id.as_str())
        .execute(tx.conn())
        .await
        .map_err(conflict("number, extension or group"))?;
        Self::store_first_password(tx, &s.user_id, phc).await?;
        directory::put(tx, &s.user_id).await
    }

    /// Gives an account another id to sign in with, beside those that it has.
    ///
    /// # Errors
    /// `Conflict` when somebody has it, `NotFound` when there is no such account.
    pub async fn put_alternate_id(&self, user: &UserId, alternate: &str) -> PortResult<()> {
        check("alternateId", alternate, 161)?;
        let alternate = alternate.to_ascii_lowercase();
        let mut tx = self.shared.db.begin().await?;
        let taken: Option<(String,)> = sqlx::query_as(
            "SELECT user_id FROM credentials WHERE user_id = ?1 \
             UNION SELECT user_id FROM alternate_ids WHERE alternate = ?1 AND user_id <> ?2",
        )
        .bind(&alternate)
        .bind(user.as_str())
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
        if taken.is_some() {
            return Err(PortError::Conflict { what: "id" });
        }
        let known: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM credentials WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(tx.conn())
            .await
            .map_err(fault)?;
        if known.is_none() {
            return Err(PortError::NotFound { what: "user" });
        }
        sqlx::query("INSERT INTO alternate_ids (alternate, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(&alternate)
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.commit().await
    }

    /// Creates an administrator or changes its level; the password is set if there was none.
    ///
    /// # Errors
    /// `Invalid`.
    pub async fn put_administrator(&self, administrator: &NewAdministrator) -> PortResult<()> {
        check("userId", administrator.user_id.as_str(), 161)?;
        let phc = self.first_password(&administrator.user_id, &administrator.password).await?;
        let mut tx = self.shared.db.begin().await?;
        sqlx::query("INSERT INTO admins VALUES (?, ?) ON CONFLICT DO UPDATE SET level = excluded.level")
            .bind(administrator.user_id.as_str())
            .bind(json(&administrator.level)?)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        Self::store_first_password(&mut tx, &administrator.user_id, phc).await?;
        tx.commit().await
    }

    /// Hashes a password if the account has none. Hashing takes long, so it stays out of the transaction.
    async fn first_password(&self, user: &UserId, password: &Secret) -> PortResult<Option<String>> {
        let known: Option<(i64,)> = sqlx::query_as("SELECT version FROM credentials WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(self.shared.db.read())
            .await
            .map_err(fault)?;
        if known.is_some() {
            return Ok(None);
        }
        Self::check_password(password)?;
        self.shared.hasher.hash(password.expose()).await.map(Some)
    }

    fn check_password(password: &Secret) -> PortResult<()> {
        if password.expose().is_empty() || password.expose().len() > 256 {
            return Err(invalid("password", "1 to 256 bytes"));
        }
        Ok(())
    }

    async fn store_first_password(
        tx: &mut crate::db::WriteTx,
        user: &UserId,
        phc: Option<String>,
    ) -> PortResult<()> {
        if let Some(phc) = phc {
            sqlx::query(
                "INSERT INTO credentials (user_id, phc, version) VALUES (?, ?, 1) ON CONFLICT DO NOTHING",
            )
            .bind(user.as_str())
            .bind(phc)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        }
        Ok(())
    }

    /// Changes a web password; what was verified with the old one is void at once in every process.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub async fn set_password(&self, user: &UserId, password: &Secret) -> PortResult<()> {
        Self::check_password(password)?;
        let phc = self.shared.hasher.hash(password.expose()).await?;
        let mut tx = self.shared.db.begin().await?;
        let now = tx.now;
        let changed = sqlx::query(
            "UPDATE credentials SET phc = ?, version = version + 1, failures = 0, locked_until = NULL, \
             expires_at = iif(expires_at <= ?, NULL, expires_at) WHERE user_id = ?",
        )
        .bind(phc)
        .bind(now)
        .bind(user.as_str())
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        if changed.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "user" });
        }
        events::append(&mut tx, user, &Event::CredentialsChanged).await?;
        tx.commit().await
    }

    /// Sets or clears the time (milliseconds since 1970) at which a web password expires.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_password_expiry(&self, user: &UserId, expires_at: Option<i64>) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let changed = sqlx::query("UPDATE credentials SET expires_at = ? WHERE user_id = ?")
            .bind(expires_at)
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if changed.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "user" });
        }
        tx.commit().await
    }

    /// Gives a service with its default settings, or takes it away.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    pub async fn assign_service(&self, user: &UserId, kind: ServiceKind, assigned: bool) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let known: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(tx.conn())
            .await
            .map_err(fault)?;
        known.ok_or(PortError::NotFound { what: "user" })?;
        // A service without a row is there, as it is at first.
        let statement = if assigned {
            "DELETE FROM services WHERE user_id = ? AND kind = ? AND taken = 1"
        } else {
            "INSERT INTO services (user_id, kind, settings, taken) VALUES (?, ?, '{}', 1) ON CONFLICT DO UPDATE SET \
             settings = excluded.settings, taken = excluded.taken"
        };
        sqlx::query(statement)
            .bind(user.as_str())
            .bind(kind.display_name())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        tx.commit().await
    }

    /// Deletes a subscriber with everything of it; its calls end first.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_subscriber(&self, user: &UserId) -> PortResult<()> {
        let mut tx = self.shared.db.begin().await?;
        let found: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(tx.conn())
            .await
            .map_err(fault)?;
        found.ok_or(PortError::NotFound { what: "user" })?;
        crate::calls::release_all(&mut tx, &self.shared, user).await?;
        events::append(&mut tx, user, &Event::SubscriberDeleted).await?;
        for statement in [
            "DELETE FROM outbox WHERE user_id = ?",
            "DELETE FROM timers WHERE user_id = ?",
            "DELETE FROM credentials WHERE user_id = ?",
            "DELETE FROM users WHERE user_id = ?",
        ] {
            sqlx::query(statement).bind(user.as_str()).execute(tx.conn()).await.map_err(fault)?;
        }
        tx.commit().await
    }

    /// Adds entries to a phone list, or changes the numbers of those that are there; all or none.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown owner, `LimitReached` where the list would grow beyond its bound.
    pub async fn put_phone_entries(
        &self,
        owner: &PhoneListOwner,
        entries: &[PhoneListEntry],
    ) -> PortResult<()> {
        Entries { shared: &self.shared }.put(owner, entries).await
    }

    /// Takes an entry out of a phone list.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_phone_entry(&self, owner: &PhoneListOwner, name: &str) -> PortResult<()> {
        Entries { shared: &self.shared }.remove(owner, name).await
    }

    /// Makes a custom contact directory of a group, or puts a subscriber of the same enterprise into it.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown group or subscriber.
    pub async fn put_custom_directory(
        &self,
        provider: &str,
        group: &str,
        name: &str,
        member: Option<&UserId>,
    ) -> PortResult<()> {
        Entries { shared: &self.shared }.put_custom(provider, group, name, member).await
    }

    /// Takes a subscriber out of a custom contact directory or, without one, deletes the directory.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_custom_directory(
        &self,
        provider: &str,
        group: &str,
        name: &str,
        member: Option<&UserId>,
    ) -> PortResult<()> {
        Entries { shared: &self.shared }.remove_custom(provider, group, name, member).await
    }

    /// Creates a device or changes it; the passwords are kept encrypted, because its files hold them.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown subscriber or device type, `Conflict` for a user name that is taken.
    pub async fn put_device(&self, device: &NewDevice) -> PortResult<()> {
        let d = device;
        check("deviceName", &d.name, 40)?;
        check("linePort", &d.line_port, 161)?;
        check("userName", &d.user_name, 161)?;
        check("sipUserName", &d.sip_user_name, 161)?;
        Self::check_password(&d.password)?;
        Self::check_password(&d.sip_password)?;
        let mac = d.mac.as_ref().map(|mac| mac.to_ascii_lowercase());
        if mac.as_ref().is_some_and(|mac| mac.len() != 12 || !mac.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(invalid("macAddress", "twelve hexadecimal digits"));
        }
        let key = self.shared.settings.machine_key();
        let password = seal::seal(key, seal::DEVICE_PASSWORD, &d.user_name, d.password.expose())?;
        let sip_password = seal::seal(key, seal::SIP_PASSWORD, &d.user_name, d.sip_password.expose())?;
        let mut tx = self.shared.db.begin().await?;
        let owner: Option<(String, String)> =
            sqlx::query_as("SELECT provider, group_id FROM users WHERE user_id = ?")
                .bind(d.user_id.as_str())
                .fetch_optional(tx.conn())
                .await
                .map_err(fault)?;
        let (provider, group) = owner.ok_or(PortError::NotFound { what: "user" })?;
        sqlx::query(
            "INSERT INTO devices (level, provider, group_id, name, device_type, user_id, line_port, mac, user_name, \
             password, sip_user, sip_password) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (provider, group_id, name) DO UPDATE SET level = excluded.level, \
             device_type = excluded.device_type, user_id = excluded.user_id, line_port = excluded.line_port, \
             mac = excluded.mac, user_name = excluded.user_name, password = excluded.password, \
             sip_user = excluded.sip_user, sip_password = excluded.sip_password",
        )
        .bind(level_name(d.level))
        .bind(&provider)
        .bind(&group)
        .bind(&d.name)
        .bind(&d.device_type)
        .bind(d.user_id.as_str())
        .bind(&d.line_port)
        .bind(mac)
        .bind(&d.user_name)
        .bind(password)
        .bind(&d.sip_user_name)
        .bind(sip_password)
        .execute(tx.conn())
        .await
        .map_err(conflict("device user name or device type"))?;
        crate::devices::choose_line(&mut tx, &d.user_id).await?;
        tx.commit().await
    }

    /// Sets a custom tag for one device type or, with `None`, for all.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` for an unknown device.
    pub async fn put_tag(
        &self,
        scope: &TagScope,
        device_type: Option<&str>,
        tag: &str,
        value: &str,
    ) -> PortResult<()> {
        let mut bytes = tag.bytes();
        let good = bytes.next().is_some_and(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'));
        if !good || tag.len() > 64 || tag.starts_with("BW") {
            return Err(invalid("tag", "1 to 64 of A-Z, 0-9, _ . -, not beginning with BW"));
        }
        if value.chars().count() > 256 || value.chars().any(char::is_control) {
            return Err(invalid("value", "at most 256 characters without control characters"));
        }
        let mut tx = self.shared.db.begin().await?;
        let (scope, owner) = match scope {
            TagScope::System => ("system", String::new()),
            TagScope::ServiceProvider { provider } => ("provider", json(&[provider])?),
            TagScope::Group { provider, group } => ("group", json(&[provider, group])?),
            TagScope::Device { provider, group, name } => {
                let id: Option<(i64,)> = sqlx::query_as(
                    "SELECT device_id FROM devices WHERE provider = ? AND group_id = ? AND name = ?",
                )
                .bind(provider)
                .bind(group)
                .bind(name)
                .fetch_optional(tx.conn())
                .await
                .map_err(fault)?;
                ("device", id.ok_or(PortError::NotFound { what: "device" })?.0.to_string())
            }
        };
        sqlx::query(
            "INSERT INTO tags VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        )
        .bind(scope)
        .bind(owner)
        .bind(device_type.unwrap_or_default())
        .bind(tag)
        .bind(value)
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        tx.commit().await
    }
}

/// Whether a subscriber can be stored as it is.
fn check_subscriber(s: &NewSubscriber) -> PortResult<()> {
    check("userId", s.user_id.as_str(), 161)?;
    check("firstName", &s.first_name, 30)?;
    check("lastName", &s.last_name, 30)?;
    if let Some(number) = &s.number {
        let digits = number.strip_prefix('+').unwrap_or_default();
        if !(3..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid("number", "+ and 3 to 15 digits"));
        }
    }
    if let Some(extension) = &s.extension
        && (!(1..=20).contains(&extension.len()) || !extension.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(invalid("extension", "1 to 20 digits"));
    }
    let optional = [
        ("mobile", &s.mobile),
        ("emailAddress", &s.email_address),
        ("title", &s.title),
        ("department", &s.department),
        ("timeZone", &s.time_zone),
    ];
    for (field, value) in optional {
        value.as_ref().map_or(Ok(()), |text| check(field, text, 161))?;
    }
    if !s.country_code.bytes().all(|b| b.is_ascii_digit()) || !(1..=3).contains(&s.country_code.len()) {
        return Err(invalid("countryCode", "1 to 3 digits"));
    }
    Ok(())
}

/// How a level is stored.
pub(crate) fn level_name(level: DeviceLevel) -> &'static str {
    match level {
        DeviceLevel::Group => "group",
        DeviceLevel::ServiceProvider => "provider",
        DeviceLevel::System => "system",
    }
}
