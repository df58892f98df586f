//! `AS_CLI/SubscriberMgmt`: service providers, groups, users and administrators.

use super::table::{details, table};
use super::{Done, argument, needed, provisioning, query, with_store};
use crate::db::{fault, unreadable};
use crate::{NewAdministrator, NewSubscriber, Shared};
use aws_lc_rs::rand;
use openadp_appserver::{AdminLevel, PortError, PortResult, UserId};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Secret, Tree, context,
};
use std::sync::Arc;

/// Most rows that are listed.
const MOST: i64 = 10_000;
const ID: Kind = Kind::text(1, 80);
const USER_ID: Kind = Kind::text(1, 161);
/// Part of a password that is made up: without look-alikes.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";

const PROVIDER: Parameter =
    Parameter::new("serviceProviderId", ID).mandatory().help("Id of the service provider or enterprise.");
const ANY_PROVIDER: Parameter = Parameter::new("serviceProviderId", Kind::text(0, 80))
    .default("")
    .mandatory()
    .help("Id of a service provider or enterprise; all where none is given.");
const GROUP: Parameter = Parameter::new("groupId", ID).mandatory().help("Id of the group.");
const USER: Parameter = Parameter::new("userId", USER_ID).mandatory().help("User id with its domain.");
const PASSWORD: Parameter = Parameter::new("password", Kind::secret(256))
    .help("Web password; where none is given one is made up and printed once.");

context! {
    /// Service providers and enterprises.
    pub struct ServiceProviders = Context::actions_only(Tree::As, "SubscriberMgmt/ServiceProvider").actions(&[
        Action { name: "get", help: "Lists all.", arguments: &[], run: get_providers },
        Action {
            name: "add",
            help: "Adds a service provider or enterprise.",
            arguments: &[
                PROVIDER,
                Parameter::new("isEnterprise", Kind::Boolean).default("true")
                    .help("Whether its groups can dial each other's extensions."),
            ],
            run: add_provider,
        },
        Action {
            name: "delete",
            help: "Deletes a service provider or enterprise that has no groups.",
            arguments: &[PROVIDER],
            run: delete_provider,
        },
    ]) => {}
}

context! {
    /// Groups of service providers and enterprises.
    pub struct Groups = Context::actions_only(Tree::As, "SubscriberMgmt/Group").actions(&[
        Action { name: "get", help: "Lists all groups, or those of one.", arguments: &[ANY_PROVIDER], run: get_groups },
        Action { name: "add", help: "Adds a group.", arguments: &[PROVIDER, GROUP], run: add_group },
        Action {
            name: "delete",
            help: "Deletes a group that has no users.",
            arguments: &[PROVIDER, GROUP],
            run: delete_group,
        },
    ]) => {}
}

const LAST_NAME: Parameter = Parameter::new("lastName", Kind::text(1, 30)).help("Last name.");
const FIRST_NAME: Parameter = Parameter::new("firstName", Kind::text(1, 30)).help("First name.");
const NUMBER: Parameter = Parameter::new("phoneNumber", Kind::text(0, 16))
    .help("Number with + and country code; unique in the server.");
const EXTENSION: Parameter =
    Parameter::new("extension", Kind::text(0, 20)).help("Extension; unique in the group.");
const COUNTRY: Parameter = Parameter::new("countryCode", Kind::text(1, 3))
    .help("Country code that the user dials within, without +.");
const MOBILE: Parameter = Parameter::new("mobileNumber", Kind::text(0, 161)).help("Mobile number.");
const EMAIL: Parameter = Parameter::new("emailAddress", Kind::text(0, 161)).help("E-mail address.");
const TITLE: Parameter = Parameter::new("title", Kind::text(0, 161)).help("Job title.");
const DEPARTMENT: Parameter = Parameter::new("department", Kind::text(0, 161)).help("Department.");
const TIME_ZONE: Parameter =
    Parameter::new("timeZone", Kind::text(0, 161)).help("Time zone, America/New_York say.");

context! {
    /// Users: who has a telephone, its numbers, and what Xsi tells of it.
    pub struct Users = Context::actions_only(Tree::As, "SubscriberMgmt/User").actions(&[
        Action { name: "get", help: "Lists all users, or those of one.", arguments: &[ANY_PROVIDER], run: get_users },
        Action { name: "detail", help: "Shows everything about a user.", arguments: &[USER], run: detail_user },
        Action {
            name: "add",
            help: "Adds a user with all services.",
            arguments: &[
                PROVIDER, GROUP, USER, LAST_NAME.mandatory(), FIRST_NAME.mandatory(), NUMBER, EXTENSION,
                COUNTRY.default("1"), MOBILE, EMAIL, TITLE, DEPARTMENT, TIME_ZONE, PASSWORD,
            ],
            run: add_user,
        },
        Action {
            name: "set",
            help: "Changes a user. An empty text takes a value away; a new password counts at once.",
            arguments: &[
                USER, LAST_NAME, FIRST_NAME, NUMBER, EXTENSION, COUNTRY, MOBILE, EMAIL, TITLE, DEPARTMENT, TIME_ZONE,
                PASSWORD,
            ],
            run: set_user,
        },
        Action {
            name: "delete",
            help: "Deletes a user with devices, registrations and call logs; calls that are under way end.",
            arguments: &[USER],
            run: delete_user,
        },
    ]) => {}
}

context! {
    /// Accounts of administrators of the application server.
    pub struct Administrators = Context::actions_only(Tree::As, "SubscriberMgmt/Administrator").actions(&[
        Action { name: "get", help: "Lists all administrators.", arguments: &[], run: get_administrators },
        Action {
            name: "add",
            help: "Adds an administrator.",
            arguments: &[
                USER,
                Parameter::new("level", Kind::Choice(&["system", "serviceProvider", "group"])).mandatory()
                    .help("How far the rights reach."),
                Parameter::new("serviceProviderId", ID).help("Of the levels serviceProvider and group."),
                Parameter::new("groupId", ID).help("Of the level group."),
                PASSWORD,
            ],
            run: add_administrator,
        },
        Action {
            name: "set",
            help: "Changes the password of an administrator.",
            arguments: &[USER, PASSWORD],
            run: set_administrator,
        },
        Action { name: "delete", help: "Deletes an administrator.", arguments: &[USER], run: delete_administrator },
    ]) => {}
}

/// A password that was given, or one that was made up and the line that tells it.
fn password(context: &ActionContext<'_>, given: Option<&str>) -> Result<(Secret, Vec<String>), Problems> {
    if let Some(given) = given {
        return Ok((Secret::new(given), Vec::new()));
    }
    let mut random = [0_u8; 15];
    rand::fill(&mut random)
        .map_err(|_| Problem::new(context.context.full_path(), "no password can be made up"))?;
    let letters: Vec<char> = random
        .iter()
        .map(|byte| char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'x')))
        .collect();
    let made = letters.chunks(5).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join("-");
    let line = format!("Password: {made} (made up; it is not shown again)");
    Ok((Secret::new(made.as_str()), vec![line]))
}

/// Runs statements that delete one row; what still hangs on it is named.
async fn delete(
    shared: Arc<Shared>,
    statement: &'static str,
    keys: Vec<String>,
    (what, referrer): (&'static str, &'static str),
) -> PortResult<()> {
    let mut tx = shared.db.begin().await?;
    let mut delete = sqlx::query(statement);
    for key in &keys {
        delete = delete.bind(key);
    }
    let gone = delete.execute(tx.conn()).await.map_err(|error| match &error {
        sqlx::Error::Database(database) if database.is_foreign_key_violation() => {
            PortError::WrongState { reason: format!("there are still {referrer} below it") }
        }
        _ => fault(error),
    })?;
    if gone.rows_affected() == 0 {
        return Err(PortError::NotFound { what });
    }
    tx.commit().await
}

fn get_providers(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let rows: Vec<(String, bool, i64)> = with_store(context, async |shared| {
        sqlx::query_as(
            "SELECT provider, is_enterprise, (SELECT COUNT(*) FROM groups g WHERE g.provider = p.provider) \
             FROM providers p ORDER BY provider LIMIT ?",
        )
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(id, enterprise, groups)| [id, enterprise.to_string(), groups.to_string()])
        .collect();
    Ok(query(table(["Service Provider Id", "Is Enterprise", "Groups"], [true, false, false], &rows)))
}

fn add_provider(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let provider = needed(context, arguments, 0)?;
    let enterprise = argument(arguments, 1) != Some("false");
    with_store(context, async move |shared| {
        let known: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM providers WHERE provider = ?")
            .bind(&provider)
            .fetch_optional(shared.db.read())
            .await
            .map_err(fault)?;
        if known.is_some() {
            return Err(PortError::Conflict { what: "service provider" });
        }
        provisioning(shared).put_provider(&provider, enterprise).await
    })?;
    Ok(ActionOutput::default())
}

fn delete_provider(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let keys = vec![needed(context, arguments, 0)?];
    with_store(context, |shared| {
        delete(shared, "DELETE FROM providers WHERE provider = ?", keys, ("service provider", "groups"))
    })?;
    Ok(ActionOutput::default())
}

fn get_groups(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let provider = argument(arguments, 0).unwrap_or_default().to_owned();
    let rows: Vec<(String, String, i64)> = with_store(context, async move |shared| {
        sqlx::query_as(
            "SELECT provider, group_id, (SELECT COUNT(*) FROM users u WHERE u.provider = g.provider AND \
             u.group_id = g.group_id) FROM groups g WHERE ?1 = '' OR provider = ?1 ORDER BY provider, group_id LIMIT ?2",
        )
        .bind(provider)
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let rows: Vec<_> =
        rows.into_iter().map(|(provider, group, users)| [provider, group, users.to_string()]).collect();
    Ok(query(table(["Service Provider Id", "Group Id", "Users"], [true, true, false], &rows)))
}

fn add_group(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (provider, group) = (needed(context, arguments, 0)?, needed(context, arguments, 1)?);
    with_store(context, async move |shared| {
        let known: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM groups WHERE provider = ? AND group_id = ?")
                .bind(&provider)
                .bind(&group)
                .fetch_optional(shared.db.read())
                .await
                .map_err(fault)?;
        if known.is_some() {
            return Err(PortError::Conflict { what: "group" });
        }
        provisioning(shared).put_group(&provider, &group).await
    })?;
    Ok(ActionOutput::default())
}

fn delete_group(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let keys = vec![needed(context, arguments, 0)?, needed(context, arguments, 1)?];
    let statement = "DELETE FROM groups WHERE provider = ? AND group_id = ?";
    with_store(context, |shared| delete(shared, statement, keys, ("group", "users")))?;
    Ok(ActionOutput::default())
}

fn get_users(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    type Row = (String, String, String, String, String, Option<String>, Option<String>);
    let provider = argument(arguments, 0).unwrap_or_default().to_owned();
    let rows: Vec<Row> = with_store(context, async move |shared| {
        sqlx::query_as(
            "SELECT user_id, provider, group_id, last_name, first_name, number, extension FROM users \
             WHERE ?1 = '' OR provider = ?1 ORDER BY provider, group_id, user_id LIMIT ?2",
        )
        .bind(provider)
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(user, provider, group, last, first, number, extension)| {
            [user, provider, group, last, first, number.unwrap_or_default(), extension.unwrap_or_default()]
        })
        .collect();
    let headers = [
        "User Id",
        "Service Provider Id",
        "Group Id",
        "Last Name",
        "First Name",
        "Phone Number",
        "Extension",
    ];
    Ok(query(table(headers, [true, true, true, true, true, false, false], &rows)))
}

/// A user as stored, without its password.
async fn user(shared: &Shared, user: &UserId) -> PortResult<NewSubscriber> {
    type Names = (String, String, String, String, String);
    type Numbers = (Option<String>, Option<String>, Option<String>);
    type Texts = (Option<String>, Option<String>, Option<String>, Option<String>);
    let missing = PortError::NotFound { what: "user" };
    let id = user.as_str();
    let names: Option<Names> = sqlx::query_as(
        "SELECT provider, group_id, first_name, last_name, country_code FROM users WHERE user_id = ?",
    )
    .bind(id)
    .fetch_optional(shared.db.read())
    .await
    .map_err(fault)?;
    let (provider, group, first_name, last_name, country_code) = names.ok_or(missing)?;
    let (number, extension, mobile): Numbers =
        sqlx::query_as("SELECT number, extension, mobile FROM users WHERE user_id = ?")
            .bind(id)
            .fetch_one(shared.db.read())
            .await
            .map_err(fault)?;
    let (email_address, title, department, time_zone): Texts =
        sqlx::query_as("SELECT email, title, department, time_zone FROM users WHERE user_id = ?")
            .bind(id)
            .fetch_one(shared.db.read())
            .await
            .map_err(fault)?;
    Ok(NewSubscriber {
        user_id: user.clone(),
        provider,
        group,
        first_name,
        last_name,
        number,
        extension,
        country_code,
        mobile,
        email_address,
        title,
        department,
        time_zone,
        password: Secret::default(),
    })
}

fn detail_user(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = UserId::new(&needed(context, arguments, 0)?);
    let (found, devices) = with_store(context, async move |shared| {
        let found = user(&shared, &id).await?;
        let devices: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM devices WHERE user_id = ? ORDER BY device_id")
                .bind(id.as_str())
                .fetch_all(shared.db.read())
                .await
                .map_err(fault)?;
        Ok((found, devices))
    })?;
    let devices: Vec<String> = devices.into_iter().map(|(name,)| name).collect();
    Ok(query(details([
        ("userId", found.user_id.to_string()),
        ("serviceProviderId", found.provider),
        ("groupId", found.group),
        ("lastName", found.last_name),
        ("firstName", found.first_name),
        ("phoneNumber", found.number.unwrap_or_default()),
        ("extension", found.extension.unwrap_or_default()),
        ("countryCode", found.country_code),
        ("mobileNumber", found.mobile.unwrap_or_default()),
        ("emailAddress", found.email_address.unwrap_or_default()),
        ("title", found.title.unwrap_or_default()),
        ("department", found.department.unwrap_or_default()),
        ("timeZone", found.time_zone.unwrap_or_default()),
        ("devices", devices.join(", ")),
    ])))
}

/// Takes over what was given; an empty text takes a value away.
fn change(user: &mut NewSubscriber, arguments: &[Option<String>]) {
    let given = |index: usize| argument(arguments, index).map(str::to_owned);
    let [last, first, number, extension, country, mobile, email, title, department, time_zone] =
        std::array::from_fn(given);
    for (name, value) in
        [(&mut user.last_name, last), (&mut user.first_name, first), (&mut user.country_code, country)]
    {
        if let Some(value) = value {
            *name = value;
        }
    }
    for (field, value) in [
        (&mut user.number, number),
        (&mut user.extension, extension),
        (&mut user.mobile, mobile),
        (&mut user.email_address, email),
        (&mut user.title, title),
        (&mut user.department, department),
        (&mut user.time_zone, time_zone),
    ] {
        if let Some(value) = value {
            *field = Some(value).filter(|value| !value.is_empty());
        }
    }
}

fn add_user(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (secret, lines) = password(context, argument(arguments, 13))?;
    let mut new = NewSubscriber {
        user_id: UserId::new(&needed(context, arguments, 2)?),
        provider: needed(context, arguments, 0)?,
        group: needed(context, arguments, 1)?,
        first_name: String::new(),
        last_name: String::new(),
        number: None,
        extension: None,
        country_code: "1".to_owned(),
        mobile: None,
        email_address: None,
        title: None,
        department: None,
        time_zone: None,
        password: secret,
    };
    change(&mut new, arguments.get(3..).unwrap_or_default());
    with_store(context, async move |shared| {
        if taken(&shared, &new.user_id).await? {
            return Err(PortError::Conflict { what: "user" });
        }
        provisioning(shared).put_subscriber(&new).await
    })?;
    Ok(ActionOutput { lines, ..ActionOutput::default() })
}

/// Whether somebody has a user id already.
async fn taken(shared: &Shared, user: &UserId) -> PortResult<bool> {
    let found: Option<(i64,)> = sqlx::query_as(
        "SELECT 1 FROM users WHERE user_id = ?1 UNION ALL SELECT 1 FROM admins WHERE user_id = ?1 LIMIT 1",
    )
    .bind(user.as_str())
    .fetch_optional(shared.db.read())
    .await
    .map_err(fault)?;
    Ok(found.is_some())
}

fn set_user(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = UserId::new(&needed(context, arguments, 0)?);
    let secret = argument(arguments, 11).map(Secret::new);
    let given = arguments.get(1..11).unwrap_or_default().to_vec();
    with_store(context, async move |shared| {
        let mut changed = user(&shared, &id).await?;
        change(&mut changed, &given);
        let provisioning = provisioning(shared);
        if given.iter().any(Option::is_some) {
            provisioning.put_subscriber(&changed).await?;
        }
        match &secret {
            Some(secret) => provisioning.set_password(&id, secret).await,
            None => Ok(()),
        }
    })?;
    Ok(ActionOutput::default())
}

fn delete_user(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = UserId::new(&needed(context, arguments, 0)?);
    with_store(context, async move |shared| provisioning(shared).delete_subscriber(&id).await)?;
    Ok(ActionOutput::default())
}

fn get_administrators(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let rows: Vec<[String; 4]> = with_store(context, async |shared| {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT user_id, level FROM admins ORDER BY user_id LIMIT ?")
                .bind(MOST)
                .fetch_all(shared.db.read())
                .await
                .map_err(fault)?;
        let row = |(user, level): (String, String)| {
            let (level, provider, group) = match serde_json::from_str(&level).map_err(unreadable)? {
                AdminLevel::System => ("system", String::new(), String::new()),
                AdminLevel::ServiceProvider { provider } => ("serviceProvider", provider, String::new()),
                AdminLevel::Group { provider, group } => ("group", provider, group),
            };
            Ok([user, level.to_owned(), provider, group])
        };
        rows.into_iter().map(row).collect()
    })?;
    Ok(query(table(["User Id", "Level", "Service Provider Id", "Group Id"], [true; 4], &rows)))
}

fn add_administrator(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let below = |index: usize, name: &'static str| -> Result<String, Problems> {
        argument(arguments, index).map(str::to_owned).ok_or_else(|| {
            let reason = "is missing for an administrator of this level";
            Problem::new(context.context.full_path(), reason).parameter(name).into()
        })
    };
    let level = match argument(arguments, 1) {
        Some("group") => {
            AdminLevel::Group { provider: below(2, "serviceProviderId")?, group: below(3, "groupId")? }
        }
        Some("serviceProvider") => AdminLevel::ServiceProvider { provider: below(2, "serviceProviderId")? },
        _ => AdminLevel::System,
    };
    let (secret, lines) = password(context, argument(arguments, 4))?;
    let new =
        NewAdministrator { user_id: UserId::new(&needed(context, arguments, 0)?), level, password: secret };
    with_store(context, async move |shared| {
        if taken(&shared, &new.user_id).await? {
            return Err(PortError::Conflict { what: "administrator" });
        }
        provisioning(shared).put_administrator(&new).await
    })?;
    Ok(ActionOutput { lines, ..ActionOutput::default() })
}

/// Whether this is an administrator; the error for who is not.
async fn is_administrator(shared: &Shared, user: &UserId) -> PortResult<()> {
    let found: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM admins WHERE user_id = ?")
        .bind(user.as_str())
        .fetch_optional(shared.db.read())
        .await
        .map_err(fault)?;
    found.map(|_| ()).ok_or(PortError::NotFound { what: "administrator" })
}

fn set_administrator(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = UserId::new(&needed(context, arguments, 0)?);
    let (secret, lines) = password(context, argument(arguments, 1))?;
    with_store(context, async move |shared| {
        is_administrator(&shared, &id).await?;
        provisioning(shared).set_password(&id, &secret).await
    })?;
    Ok(ActionOutput { lines, ..ActionOutput::default() })
}

fn delete_administrator(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = UserId::new(&needed(context, arguments, 0)?);
    with_store(context, async move |shared| {
        is_administrator(&shared, &id).await?;
        let mut tx = shared.db.begin().await?;
        for statement in ["DELETE FROM credentials WHERE user_id = ?", "DELETE FROM admins WHERE user_id = ?"]
        {
            sqlx::query(statement).bind(id.as_str()).execute(tx.conn()).await.map_err(fault)?;
        }
        tx.commit().await
    })?;
    Ok(ActionOutput::default())
}
