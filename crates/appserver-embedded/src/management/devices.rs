//! `AS_CLI/System/Device/IpDeviceMgmt`: the devices of subscribers, and their types.

use super::table::table;
use super::{Done, argument, needed, provisioning, query, with_store};
use crate::db::fault;
use crate::{NewDevice, Shared};
use aws_lc_rs::rand;
use openadp_appserver::{DeviceLevel, PortError, PortResult, UserId};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Secret, Tree, context,
};
use std::fmt::Write as _;
use std::sync::Arc;

/// Most devices that are listed.
const MOST: i64 = 10_000;
const ID: Kind = Kind::text(1, 80);
const SCOPES: &[&str] = &[
    "system",
    "serviceProvider",
    "group",
    "systemDeviceProfile",
    "svcProvDeviceProfile",
    "groupDeviceProfile",
];

/// One of the words behind the scope of `switchDeviceType`.
const fn word(name: &'static str) -> Parameter {
    Parameter::new(name, Kind::text(0, 80))
        .default("")
        .mandatory()
        .help("The ids that the scope names, then the old type or the device's name, then the new type.")
}

context! {
    /// Devices of subscribers: what they are, and the accounts with which they fetch their files.
    pub struct IpDeviceMgmt = Context::actions_only(Tree::As, "System/Device/IpDeviceMgmt").actions(&[
        Action { name: "get", help: "Lists all devices.", arguments: &[], run: get },
        Action {
            name: "add",
            help: "Adds a device to a user of the group. Its account for files and for signalling is made up; the device \
                   is told of it by profile/device, or by the file that it fetches.",
            arguments: &[
                Parameter::new("serviceProviderId", ID).mandatory().help("Service provider or enterprise."),
                Parameter::new("groupId", ID).mandatory().help("Group."),
                Parameter::new("deviceName", Kind::text(1, 40)).mandatory().help("Name; unique in the group."),
                Parameter::new("deviceType", ID).mandatory().help("Type; one of System/DeviceType/SIP."),
                Parameter::new("macAddress", Kind::text(12, 12)).help("Hardware address, twelve hexadecimal digits."),
                Parameter::new("userId", Kind::text(1, 161))
                    .help("Whose it is; the user id whose first part the device's name begins with where none is given."),
            ],
            run: add,
        },
        Action {
            name: "switchDeviceType",
            help: "Gives devices another type, so that they get the files of that type: all of one type in the system, in \
                   a service provider or in a group, or one device.",
            arguments: &[
                Parameter::new("scope", Kind::Choice(SCOPES)).mandatory().help("Which devices are changed."),
                word("first"), word("second"), word("third"), word("fourth"),
            ],
            run: switch,
        },
        Action {
            name: "delete",
            help: "Deletes a device.",
            arguments: &[
                Parameter::new("serviceProviderId", ID).mandatory().help("Service provider or enterprise."),
                Parameter::new("groupId", ID).mandatory().help("Group."),
                Parameter::new("deviceName", Kind::text(1, 40)).mandatory().help("Its name."),
            ],
            run: delete,
        },
    ]) => {}
}

fn get(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    type Row = (String, String, String, String, String, Option<String>, String);
    let rows: Vec<Row> = with_store(context, async |shared| {
        sqlx::query_as(
            "SELECT provider, group_id, name, device_type, user_id, mac, line_port FROM devices \
             ORDER BY provider, group_id, name LIMIT ?",
        )
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(provider, group, name, kind, user, mac, line)| {
            [provider, group, name, kind, user, mac.unwrap_or_default(), line]
        })
        .collect();
    let headers = [
        "Service Provider Id",
        "Group Id",
        "Device Name",
        "Device Type",
        "User Id",
        "MAC Address",
        "Line Port",
    ];
    Ok(query(table(headers, [true; 7], &rows)))
}

/// Random hexadecimal digits.
fn made_up(context: &ActionContext<'_>) -> Result<String, Problems> {
    let mut random = [0_u8; 16];
    rand::fill(&mut random)
        .map_err(|_| Problem::new(context.context.full_path(), "no account can be made up"))?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        if write!(text, "{byte:02x}").is_err() {
            text.clear();
        }
        text
    }))
}

/// The user of a group whose id begins as the name does, where exactly one does.
async fn owner(shared: &Shared, provider: &str, group: &str, name: &str) -> PortResult<UserId> {
    let users: Vec<(String,)> =
        sqlx::query_as("SELECT user_id FROM users WHERE provider = ? AND group_id = ?")
            .bind(provider)
            .bind(group)
            .fetch_all(shared.db.read())
            .await
            .map_err(fault)?;
    let name = name.to_ascii_lowercase();
    let mut fitting = users.iter().filter(|(user,)| {
        user.split('@').next().is_some_and(|local| {
            name.strip_prefix(local)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        })
    });
    match (fitting.next(), fitting.next()) {
        (Some((user,)), None) => Ok(UserId::new(user)),
        _ => Err(PortError::Invalid {
            field: "userId",
            reason: "the name does not say whose device it is".to_owned(),
        }),
    }
}

fn add(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (provider, group) = (needed(context, arguments, 0)?, needed(context, arguments, 1)?);
    let (name, device_type) = (needed(context, arguments, 2)?, needed(context, arguments, 3)?);
    let mac = argument(arguments, 4).map(str::to_owned);
    let user = argument(arguments, 5).map(UserId::new);
    let (account, password, sip_password) = (made_up(context)?, made_up(context)?, made_up(context)?);
    with_store(context, async move |shared| {
        let user = match user {
            Some(user) => user,
            None => owner(&shared, &provider, &group, &name).await?,
        };
        let known: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM devices WHERE provider = ? AND group_id = ? AND name = ?")
                .bind(&provider)
                .bind(&group)
                .bind(&name)
                .fetch_optional(shared.db.read())
                .await
                .map_err(fault)?;
        if known.is_some() {
            return Err(PortError::Conflict { what: "device" });
        }
        let at: Option<(String, String)> =
            sqlx::query_as("SELECT provider, group_id FROM users WHERE user_id = ?")
                .bind(user.as_str())
                .fetch_optional(shared.db.read())
                .await
                .map_err(fault)?;
        if at.is_none_or(|at| at != (provider, group)) {
            return Err(PortError::NotFound { what: "user of that group" });
        }
        let host = user.as_str().split('@').nth(1).unwrap_or("localhost").to_owned();
        let device = NewDevice {
            user_id: user,
            level: DeviceLevel::Group,
            device_type,
            line_port: format!("{name}@{host}"),
            mac,
            user_name: account.clone(),
            password: Secret::new(password.as_str()),
            sip_user_name: account,
            sip_password: Secret::new(sip_password.as_str()),
            name,
        };
        provisioning(shared).put_device(&device).await
    })?;
    Ok(ActionOutput::default())
}

/// Which devices are meant: type, service provider, group, level and name, each empty where it does not matter.
type Condition = [String; 5];

/// Which devices a scope means, and the new type.
fn chosen(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
) -> Result<(Condition, String), Problems> {
    let scope = argument(arguments, 0).unwrap_or_default();
    let words: Vec<&str> =
        (1..5).map_while(|index| argument(arguments, index)).filter(|word| !word.is_empty()).collect();
    let (condition, new) = match (scope, words.as_slice()) {
        ("system", [old, new]) => ([*old, "", "", "", ""], new),
        ("serviceProvider", [provider, old, new]) => ([*old, provider, "", "", ""], new),
        ("group", [provider, group, old, new]) => ([*old, provider, group, "", ""], new),
        ("systemDeviceProfile", [name, new]) => (["", "", "", "system", name], new),
        ("svcProvDeviceProfile", [provider, name, new]) => (["", provider, "", "provider", name], new),
        ("groupDeviceProfile", [provider, group, name, new]) => (["", provider, group, "group", name], new),
        _ => {
            let form = match scope {
                "system" => "<old type> <new type>",
                "serviceProvider" => "<service provider> <old type> <new type>",
                "group" => "<service provider> <group> <old type> <new type>",
                "systemDeviceProfile" => "<device name> <new type>",
                "svcProvDeviceProfile" => "<service provider> <device name> <new type>",
                _ => "<service provider> <group> <device name> <new type>",
            };
            let reason = format!("{scope} takes {form}");
            return Err(Problem::new(context.context.full_path(), reason).parameter("scope").into());
        }
    };
    Ok((condition.map(str::to_owned), (*new).to_owned()))
}

fn switch(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (condition, new) = chosen(context, arguments)?;
    let count = with_store(context, |shared| switched(shared, condition, new))?;
    let noun = if count == 1 { "device" } else { "devices" };
    Ok(ActionOutput { lines: vec![format!("{count} {noun} changed.")], ..ActionOutput::default() })
}

async fn switched(shared: Arc<Shared>, condition: Condition, new: String) -> PortResult<u64> {
    let mut tx = shared.db.begin().await?;
    let known: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM device_types WHERE device_type = ?")
        .bind(&new)
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
    known.ok_or(PortError::NotFound { what: "device type" })?;
    let mut update = sqlx::query(
        "UPDATE devices SET device_type = ?6 WHERE (?1 = '' OR device_type = ?1) AND (?2 = '' OR provider = ?2) AND \
         (?3 = '' OR group_id = ?3) AND (?4 = '' OR level = ?4) AND (?5 = '' OR name = ?5)",
    );
    for value in &condition {
        update = update.bind(value);
    }
    let changed = update.bind(&new).execute(tx.conn()).await.map_err(fault)?;
    if changed.rows_affected() == 0 {
        return Err(PortError::NotFound { what: "device" });
    }
    tx.commit().await?;
    Ok(changed.rows_affected())
}

fn delete(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let keys =
        [needed(context, arguments, 0)?, needed(context, arguments, 1)?, needed(context, arguments, 2)?];
    with_store(context, async move |shared| {
        let mut tx = shared.db.begin().await?;
        let [provider, group, name] = keys;
        let gone = sqlx::query("DELETE FROM devices WHERE provider = ? AND group_id = ? AND name = ?")
            .bind(provider)
            .bind(group)
            .bind(name)
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if gone.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "device" });
        }
        tx.commit().await
    })?;
    Ok(ActionOutput::default())
}
