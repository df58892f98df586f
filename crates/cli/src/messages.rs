//! What `adpcli` says when a command fails: one table, from which the reference page is made. A test provokes every one.

use crate::failure::Code;

/// A way to fail.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Words of its line; scripts may look for them.
    pub text: &'static str,
    /// What `adpcli` exits with when it was the last.
    pub code: Code,
    /// What happened.
    pub meaning: &'static str,
    /// What helps.
    pub remedy: &'static str,
}

const fn message(text: &'static str, code: Code, meaning: &'static str, remedy: &'static str) -> Message {
    Message { text, code, meaning, remedy }
}

/// All of them, those of the language first, then those of settings, rights and the store.
pub const MESSAGES: &[Message] = &[
    message(
        "Invalid command",
        Code::Syntax,
        "A word is unknown here, may be several things, or the line cannot be read.",
        "The hint below names the nearest word or where it failed; `help` lists what there is.",
    ),
    message(
        "Mandatory parameter missing",
        Code::Syntax,
        "The command takes a value that is not there.",
        "The line below describes it; `help COMMAND` explains all.",
    ),
    message(
        "is one argument too many",
        Code::Syntax,
        "More values than the command takes.",
        "`help COMMAND` shows what it takes; a value with blanks stands in quotes.",
    ),
    message(
        "there is no attribute",
        Code::Syntax,
        "A pair begins with a name that the command does not take.",
        "The hint names the nearest one, or all.",
    ),
    message(
        "is not between",
        Code::Refused,
        "A number outside the range of its parameter; other kinds say likewise what they take.",
        "The line below has the range.",
    ),
    message(
        "entry is already present in list",
        Code::Refused,
        "A row with this key is there.",
        "Change it with `set`, or `delete` it first.",
    ),
    message("Entry not found", Code::Refused, "No row has this key.", "`get` lists the rows."),
    message(
        "the two entries differ",
        Code::Refused,
        "A secret was not typed the same twice.",
        "Nothing was changed: type the command again.",
    ),
    message(
        "no change is open",
        Code::Refused,
        "`commit` or `abort` without `begin`.",
        "`begin` opens a change.",
    ),
    message(
        "a change is open",
        Code::Refused,
        "The command acts at once, or would lose the open change.",
        "`commit` does the change, `abort` drops it.",
    ),
    message(
        "was not committed; nothing of it was done",
        Code::Refused,
        "A file or the `-c` lines ended while a change was open.",
        "Put `commit` at the end.",
    ),
    message(
        "after this change was begun",
        Code::Refused,
        "Somebody else changed the same meanwhile; the message says who, what and in which revision.",
        "`commit check` shows what the change would do now; `commit --force` does it, `abort` drops it.",
    ),
    message(
        "there is no revision",
        Code::Refused,
        "`diff` or `rollback` to a number that is not there yet.",
        "`revisions` lists them.",
    ),
    message(
        "comes back to itself",
        Code::Refused,
        "An alias stands for itself.",
        "`alias NAME \"\"` takes it away.",
    ),
    message(
        "was altered, or is of another installation",
        Code::Refused,
        "`audit verify` found a line of the audit log that the machine key did not seal.",
        "Keep the files `DATA_DIR/settings/audit*.jsonl` and find out who wrote to them.",
    ),
    message(
        "not allowed: it needs the right to",
        Code::Rights,
        "The role of the account is too small.",
        "Whoever administers the installation gives one in `System/Roles`.",
    ),
    message(
        "has no role here",
        Code::Rights,
        "The account has no role in this installation.",
        "Whoever administers the installation gives one in `System/Roles`.",
    ),
    message(
        "ask as root or as the owner of the data directory",
        Code::Rights,
        "No process runs, and the files belong to somebody else.",
        "`sudo -u openadp adpcli`, or start the service.",
    ),
    message(
        "put a copy of it back, or move it away to begin anew",
        Code::Unreachable,
        "The journal of the settings is damaged; it was left as it is.",
        "Put back a copy of `settings/revisions.jsonl`, or move it away and `import` an export.",
    ),
    message(
        "a newer release wrote it",
        Code::Unreachable,
        "The settings were written by a newer release than this one.",
        "Use that release here, or put back a copy from before.",
    ),
    message(
        "make room and try again",
        Code::Unreachable,
        "The disk is full; nothing of the change was kept.",
        "Make room, then type the command again.",
    ),
    message(
        "mount it for writing and try again",
        Code::Unreachable,
        "The file system is read-only; nothing of the change was kept.",
        "Mount it for writing, then type the command again.",
    ),
    message(
        "another process holds the lock",
        Code::Unreachable,
        "Another process kept the settings locked for five seconds.",
        "Try again; if it stays, look for a process that hangs.",
    ),
];
