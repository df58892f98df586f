//! Who may do what: the roles that users and groups of this machine have.
//!
//! The owner of the data directory, who is the user that the processes run as, and root administer. Nobody else has any
//! right until one is given, and until then the sockets are closed to them by their modes as well.

use super::socket::directory;
use openadp_settings::{Context, Kind, Parameter, Rights, Settings as _, Snapshot, Tree, context};
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
        /// Its name in /etc/passwd or /etc/group, or its number.
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

/// The users and groups of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Those of this machine.
    pub(crate) fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self { passwd: read("/etc/passwd"), group: read("/etc/group") }
    }

    /// Whether a role that is given to a user or group is given to somebody.
    fn is(&self, role: &RoleSettings, who: Who) -> bool {
        let number = role.name.parse::<u32>().ok();
        let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let of_user = |line: &&str| line.split(':').nth(2).and_then(|uid| uid.parse().ok()) == Some(who.uid);
        let user = self.passwd.lines().find(of_user).map(fields).unwrap_or_default();
        let name = user.first().map(String::as_str).unwrap_or_default();
        if role.kind == USER {
            return number.map_or(!name.is_empty() && role.name == name, |uid| uid == who.uid);
        }
        let first: Option<u32> = user.get(3).and_then(|gid| gid.parse().ok());
        let member = |gid: u32| gid == who.gid || Some(gid) == first;
        let listed = |line: &str| {
            let fields = fields(line);
            let gid = fields.get(2).and_then(|gid| gid.parse().ok());
            let named = fields.first().is_some_and(|group| !group.is_empty() && *group == role.name);
            let numbered = gid.is_some() && gid == number;
            let inside = fields
                .get(3)
                .is_some_and(|users| !name.is_empty() && users.split(',').any(|user| user == name));
            (named || numbered) && (inside || gid.is_some_and(member))
        };
        // A number is one also where no file names the group.
        number.is_some_and(member) || self.group.lines().any(listed)
    }

    fn rights(&self, tree: &Snapshot, who: Who, owner: u32) -> Option<Rights> {
        if who.uid == 0 || who.uid == owner {
            return Some(Rights::Administer);
        }
        let given = tree.rows::<RoleSettings>().into_iter().filter(|role| self.is(role, who));
        given.filter_map(|role| Rights::named(&role.role)).max()
    }
}

/// What somebody may do in an installation of this owner; `None` for nothing at all.
pub fn rights(tree: &Snapshot, who: Who, owner: u32) -> Option<Rights> {
    if who.uid == 0 || who.uid == owner {
        return Some(Rights::Administer);
    }
    Accounts::here().rights(tree, who, owner)
}

/// Numbers of a user with this name and of their group, and what they may do; `None` for a user who is not there.
pub fn rights_of_name(tree: &Snapshot, name: &str, owner: u32) -> Option<(u32, u32, Option<Rights>)> {
    let accounts = Accounts::here();
    let line = accounts.passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((uid, gid, accounts.rights(tree, Who { uid, gid }, owner)))
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
        let accounts = Accounts {
            passwd:
                "root:x:0:0::/root:/bin/sh\nkim:x:1001:100::/:/bin/sh\n:x:7:7\nbroken\nlee:x:1002:200::/:\n"
                    .to_owned(),
            group: "users:x:100:\nops:x:300:ann,kim\nempty:x:301:\nkimono:x:302:kimono\n:x:303:kim\nbroken\n"
                .to_owned(),
        };
        let (kim, lee, stranger) =
            (Who { uid: 1001, gid: 100 }, Who { uid: 1002, gid: 300 }, Who { uid: 7, gid: 7 });
        let is = |kind: &str, name: &str| [kim, lee, stranger].map(|who| accounts.is(&role(kind, name), who));
        assert_eq!(is("user", "kim"), [true, false, false]);
        assert_eq!(is("user", "1002"), [false, true, false]);
        assert_eq!(is("user", ""), [false, false, false]);
        assert_eq!(is("group", "users"), [true, false, false]);
        // Lee runs with the group's rights, kim is listed.
        assert_eq!(is("group", "ops"), [true, true, false]);
        assert_eq!(is("group", "300"), [true, true, false]);
        assert_eq!(is("group", "200"), [false, true, false]);
        assert_eq!(is("group", "empty"), [false, false, false]);
        assert_eq!(is("group", "kimono"), [false, false, false]);
        assert_eq!(is("group", ""), [false, false, false]);
        assert_eq!(is("group", "7"), [false, false, true]);
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
