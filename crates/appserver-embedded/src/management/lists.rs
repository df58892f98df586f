//! `AS_CLI/SubscriberMgmt/PhoneList` and `CustomContactDirectory`: what directories show beside the users.

use super::table::table;
use super::{Done, argument, needed, provisioning, query, with_store};
use crate::PhoneListOwner;
use crate::db::fault;
use crate::directory::owner_key;
use openadp_appserver::{PhoneListEntry, UserId};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Tree, context,
};

/// Most rows that are listed; a search over Xsi finds the others.
const MOST: i64 = 10_000;
const ID: Kind = Kind::text(1, 80);

const LEVEL: Parameter = Parameter::new("level", Kind::Choice(&["serviceProvider", "group", "user"]))
    .mandatory()
    .help("Whose list: everybody's of a service provider or enterprise, a group's, or a user's own.");
const OWNER: Parameter = Parameter::new("owner", Kind::text(1, 161))
    .mandatory()
    .help("Id of the service provider or enterprise; of a list of the level user, the user id.");
const LIST_GROUP: Parameter =
    Parameter::new("groupId", ID).help("Id of the group, for lists of the level group.");
const NAME: Parameter = Parameter::new("name", Kind::text(1, 50)).mandatory().help("Name of the entry.");
const NUMBER: Parameter =
    Parameter::new("phoneNumber", Kind::text(1, 30)).mandatory().help("Its number, as it is dialled.");

context! {
    /// Phone lists: names and numbers that Xsi shows beside the users, in EnterpriseCommon, GroupCommon and Personal.
    pub struct PhoneLists = Context::actions_only(Tree::As, "SubscriberMgmt/PhoneList").actions(&[
        Action { name: "get", help: "Lists the entries.", arguments: &[LEVEL, OWNER, LIST_GROUP], run: get_entries },
        Action {
            name: "add",
            help: "Adds an entry, or changes the number of the one with this name.",
            arguments: &[LEVEL, OWNER, NAME, NUMBER, LIST_GROUP],
            run: add_entry,
        },
        Action {
            name: "delete",
            help: "Deletes an entry.",
            arguments: &[LEVEL, OWNER, NAME, LIST_GROUP],
            run: delete_entry,
        },
    ]) => {}
}

const PROVIDER: Parameter =
    Parameter::new("serviceProviderId", ID).mandatory().help("Id of the service provider or enterprise.");
const GROUP: Parameter =
    Parameter::new("groupId", ID).mandatory().help("Id of the group whose users see it.");
const DIRECTORY: Parameter =
    Parameter::new("directory", Kind::text(1, 40)).mandatory().help("Name of the directory.");
const MEMBER: Parameter =
    Parameter::new("userId", Kind::text(1, 161)).help("A user of the same service provider or enterprise.");

context! {
    /// Custom contact directories: users of an enterprise that an administrator puts together for a group.
    pub struct CustomDirectories = Context::actions_only(Tree::As, "SubscriberMgmt/CustomContactDirectory").actions(&[
        Action {
            name: "get",
            help: "Lists the directories of a group and who is in them.",
            arguments: &[PROVIDER, GROUP],
            run: get_directories,
        },
        Action {
            name: "add",
            help: "Adds a directory, or a user to one.",
            arguments: &[PROVIDER, GROUP, DIRECTORY, MEMBER],
            run: add_directory,
        },
        Action {
            name: "delete",
            help: "Takes a user out of a directory, or deletes it where no user is given.",
            arguments: &[PROVIDER, GROUP, DIRECTORY, MEMBER],
            run: delete_directory,
        },
    ]) => {}
}

fn owner(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
    group: usize,
) -> Result<PhoneListOwner, Problems> {
    let id = needed(context, arguments, 1)?;
    Ok(match argument(arguments, 0) {
        Some("user") => PhoneListOwner::Personal { user: UserId::new(&id) },
        Some("group") => {
            let group = argument(arguments, group).ok_or_else(|| {
                Problem::new(context.context.full_path(), "is missing for a list of this level")
                    .parameter("groupId")
            })?;
            PhoneListOwner::Group { provider: id, group: group.to_owned() }
        }
        _ => PhoneListOwner::Enterprise { provider: id },
    })
}

fn get_entries(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let owner = owner(context, arguments, 2)?;
    let rows: Vec<(String, String)> = with_store(context, async move |shared| {
        sqlx::query_as(
            "SELECT name, number FROM phone_list_entries WHERE list = (SELECT list FROM phone_lists WHERE owner = ?) \
             ORDER BY name LIMIT ?",
        )
        .bind(owner_key(&owner)?)
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let rows: Vec<_> = rows.into_iter().map(|(name, number)| [name, number]).collect();
    Ok(query(table(["Name", "Phone Number"], [true, false], &rows)))
}

fn add_entry(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let owner = owner(context, arguments, 4)?;
    let entry =
        PhoneListEntry { name: needed(context, arguments, 2)?, number: needed(context, arguments, 3)? };
    with_store(context, async move |shared| provisioning(shared).put_phone_entries(&owner, &[entry]).await)?;
    Ok(ActionOutput::default())
}

fn delete_entry(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let owner = owner(context, arguments, 3)?;
    let name = needed(context, arguments, 2)?;
    with_store(context, async move |shared| provisioning(shared).remove_phone_entry(&owner, &name).await)?;
    Ok(ActionOutput::default())
}

fn get_directories(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (provider, group) = (needed(context, arguments, 0)?, needed(context, arguments, 1)?);
    let rows: Vec<(String, Option<String>)> = with_store(context, async move |shared| {
        sqlx::query_as(
            "SELECT name, user_id FROM custom_directories LEFT JOIN custom_directory_users USING (directory) \
             WHERE provider = ? AND group_id = ? ORDER BY name, user_id LIMIT ?",
        )
        .bind(provider)
        .bind(group)
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let rows: Vec<_> = rows.into_iter().map(|(name, user)| [name, user.unwrap_or_default()]).collect();
    Ok(query(table(["Directory", "User Id"], [true, true], &rows)))
}

/// Provider, group and directory, and the user where one is given.
fn place(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
) -> Result<([String; 3], Option<UserId>), Problems> {
    let names =
        [needed(context, arguments, 0)?, needed(context, arguments, 1)?, needed(context, arguments, 2)?];
    Ok((names, argument(arguments, 3).map(UserId::new)))
}

fn add_directory(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let ([provider, group, name], member) = place(context, arguments)?;
    with_store(context, async move |shared| {
        provisioning(shared).put_custom_directory(&provider, &group, &name, member.as_ref()).await
    })?;
    Ok(ActionOutput::default())
}

fn delete_directory(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let ([provider, group, name], member) = place(context, arguments)?;
    with_store(context, async move |shared| {
        provisioning(shared).remove_custom_directory(&provider, &group, &name, member.as_ref()).await
    })?;
    Ok(ActionOutput::default())
}
