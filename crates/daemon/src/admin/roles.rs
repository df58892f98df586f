//! Who may do what: the roles that users and groups of this machine have.
//!
//! The owner of the data directory, who is the user that the processes run as, and root administer. Nobody else has any
//! right until one is given, and until then the sockets are closed to them by their modes as well.

use super::socket::directory;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use openadp_settings::{Context, Kind, Parameter, Rights, Settings as _, Snapshot, Tree, context};
use std::ffi::CString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Kinds of whom a role is given to.
const USER: &str = "user";
const GROUP: &str = "group";

context! {
    /// Users and groups of this machine that may use adpcli beside root and the user that the processes run as: view reads
    /// everything but secrets, operate changes settings, administer also gives roles, starts and stops, and takes keys out.
    /// Whoever has several has the greatest. While there is an entry, the admin sockets can be reached by every user of the
    /// machine, and the kernel says who it is; without one their modes keep everybody else away.
    pub struct RoleSettings = Context::table(Tree::Adp, "System/Roles").needs(Rights::Administer) => {
        /// Whether it is a user or a group.
        pub kind: String = Parameter::new("kind", Kind::Choice(&[USER, GROUP])).header("Kind").key().left();
        /// Its name on this machine, from wherever the machine knows its users and groups (files, LDAP), or its number.
        pub name: String = Parameter::new("name", Kind::text(1, 64)).header("Name").key().left();
        /// What it may do.
        pub role: String = Parameter::new("role", Kind::Choice(&["view", "operate", "administer"]))
            .header("Role").mandatory().left();
    }
}

/// Somebody, as the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A user or group of the machine that something cannot be found out about is nobody: no role by its name.
fn found<T>(looked_up: nix::Result<Option<T>>) -> Option<T> {
    looked_up
        .inspect_err(|error| tracing::warn!(%error, "users and groups of this machine cannot be looked up"))
        .ok()
        .flatten()
}

/// Somebody, with what the machine's directories say: files, and whatever else nsswitch.conf names, as for `id`.
#[derive(Debug, Clone, Default)]
struct Somebody {
    uid: u32,
    name: Option<String>,
    groups: Vec<u32>,
}

impl Somebody {
    fn of(who: Who) -> Self {
        Self::known(who, found(User::from_uid(Uid::from_raw(who.uid))))
    }

    fn known(who: Who, user: Option<User>) -> Self {
        // The group that the process runs with counts as well: newgrp and a service's Group= change it.
        let mut groups = vec![who.gid];
        let Some(user) = user else { return Self { uid: who.uid, name: None, groups } };
        groups.push(user.gid.as_raw());
        let all = CString::new(user.name.as_str()).map(|name| getgrouplist(&name, user.gid));
        match all {
            Ok(Ok(all)) => groups.extend(all.into_iter().map(Gid::as_raw)),
            Ok(Err(error)) => {
                tracing::warn!(%error, user = user.name, "the groups of a user cannot be looked up");
            }
            Err(_) => {}
        }
        Self { uid: who.uid, name: Some(user.name), groups }
    }

    /// Whether a role that is given to a user or group is given to them.
    fn has(&self, role: &RoleSettings, number_of_group: impl Fn(&str) -> Option<u32>) -> bool {
        let number = role.name.parse::<u32>().ok();
        if role.kind == USER {
            return number.map_or_else(
                || self.name.as_deref().is_some_and(|name| !name.is_empty() && name == role.name),
                |uid| uid == self.uid,
            );
        }
        number.or_else(|| number_of_group(&role.name)).is_some_and(|gid| self.groups.contains(&gid))
    }

    fn rights(&self, tree: &Snapshot) -> Option<Rights> {
        let number_of_group = |name: &str| found(Group::from_name(name)).map(|group| group.gid.as_raw());
        let given = tree.rows::<RoleSettings>().into_iter().filter(|role| self.has(role, number_of_group));
        given.filter_map(|role| Rights::named(&role.role)).max()
    }
}

/// What somebody may do in an installation of this owner; `None` for nothing at all. May wait for a directory server.
pub fn rights(tree: &Snapshot, who: Who, owner: u32) -> Option<Rights> {
    if who.uid == 0 || who.uid == owner {
        return Some(Rights::Administer);
    }
    if any(tree) { Somebody::of(who).rights(tree) } else { None }
}

/// Numbers of a user with this name and of their group, and what they may do; `None` for a user who is not there.
pub fn rights_of_name(tree: &Snapshot, name: &str, owner: u32) -> Option<(u32, u32, Option<Rights>)> {
    let user = found(User::from_name(name))?;
    let who = Who { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
    let rights = if who.uid == 0 || who.uid == owner {
        Some(Rights::Administer)
    } else {
        Somebody::known(who, Some(user)).rights(tree)
    };
    Some((who.uid, who.gid, rights))
}

/// Whether anybody has a role beside those who always have one.
pub(crate) fn any(tree: &Snapshot) -> bool {
    !tree.rows_of(RoleSettings::CONTEXT).is_empty()
}

/// Opens the way to a socket for all users of the machine, or closes it again. The data directory and the one above the
/// sockets can then be passed through, and not listed; what else is in there has modes of its own.
pub(crate) fn open_way(data_dir: &Path, socket: &Path, open: bool) -> io::Result<()> {
    let sockets = directory(data_dir);
    if !open {
        set_mode(socket, 0o600)?;
        return set_mode(&sockets, 0o700);
    }
    set_mode(socket, 0o666)?;
    set_mode(&sockets, 0o755)?;
    for folder in [sockets.parent(), Some(data_dir)].into_iter().flatten() {
        let mode = std::fs::metadata(folder)?.mode() & 0o777;
        set_mode(folder, mode | 0o011)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    if std::fs::metadata(path)?.mode() & 0o777 == mode {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(kind: &str, name: &str) -> RoleSettings {
        RoleSettings { kind: kind.to_owned(), name: name.to_owned(), role: "view".to_owned() }
    }

    #[test]
    fn a_role_is_found_by_name_number_and_membership() {
        let numbers = |name: &str| match name {
            "users" => Some(100),
            "ops" => Some(300),
            "empty" => Some(301),
            _ => None,
        };
        let somebody = |uid, name: Option<&str>, groups: &[u32]| Somebody {
            uid,
            name: name.map(str::to_owned),
            groups: groups.to_vec(),
        };
        let kim = somebody(1001, Some("kim"), &[100, 300]);
        let lee = somebody(1002, Some("lee"), &[300, 200]);
        let stranger = somebody(7, None, &[7]);
        let has = |kind: &str, name: &str| {
            [&kim, &lee, &stranger].map(|somebody| somebody.has(&role(kind, name), numbers))
        };
        assert_eq!(has("user", "kim"), [true, false, false]);
        assert_eq!(has("user", "1002"), [false, true, false]);
        assert_eq!(has("user", ""), [false, false, false]);
        assert_eq!(has("group", "users"), [true, false, false]);
        assert_eq!(has("group", "ops"), [true, true, false]);
        assert_eq!(has("group", "300"), [true, true, false]);
        assert_eq!(has("group", "200"), [false, true, false]);
        assert_eq!(has("group", "empty"), [false, false, false]);
        assert_eq!(has("group", "kim"), [false, false, false]);
        assert_eq!(has("group", ""), [false, false, false]);
        // A number is one also where nobody has a name for it.
        assert_eq!(has("group", "7"), [false, false, true]);
    }

    /// What `id` says of a user counts, wherever the machine has it from.
    #[test]
    fn somebody_has_the_groups_that_id_tells() {
        let id = |arguments: &[&str]| {
            let output = std::process::Command::new("id").args(arguments).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        for name in ["root", "daemon", "nobody"] {
            let number = |option: &str| id(&[option, name]).parse::<u32>().unwrap();
            let who = Who { uid: number("-u"), gid: number("-g") };
            let somebody = Somebody::of(who);
            assert_eq!(somebody.name.as_deref(), Some(name));
            let told: std::collections::BTreeSet<u32> =
                id(&["-G", name]).split(' ').map(|gid| gid.parse().unwrap()).collect();
            assert_eq!(
                somebody.groups.iter().copied().collect::<std::collections::BTreeSet<_>>(),
                told,
                "{name}"
            );
            assert!(somebody.has(&role(USER, name), |_| None));
        }
        let nobody = Somebody::of(Who { uid: 4_000_000_123, gid: 5 });
        assert_eq!((nobody.name.as_deref(), nobody.groups.as_slice()), (None, &[5][..]));
    }

    #[test]
    fn the_way_is_open_only_while_it_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = directory(dir.path());
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("x.sock");
        std::fs::write(&socket, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        open_way(dir.path(), &socket, true).unwrap();
        assert_eq!((mode(&socket), mode(&folder), mode(dir.path())), (0o666, 0o755, 0o711));
        open_way(dir.path(), &socket, false).unwrap();
        assert_eq!((mode(&socket), mode(&folder)), (0o600, 0o700));
    }
}
