//! `ADP_CLI/System`, what is not of another file.

use crate::{from_source, https_port, is_answered};
use anyhow::{Result, ensure};
use openadp_suite::{Curl, Effects, Lab, Running, binary};
use std::process::Command;

const LOGGING: &str = "ADP_CLI/System/Logging";

#[test]
fn logging() -> Result<()> {
    // A process of its own: the lab's is started with a level on its command line, and keeps that one.
    let lab = Lab::seed()?;
    let mut effects = Effects::of(&lab, "parameters/system.rs::logging");
    let mut command = Command::new(binary("dms"));
    command
        .arg("--data-dir")
        .arg(&lab.data_dir)
        .args(["--interface", &format!("127.0.0.1:{}", lab.port_base())]);
    let process = Running::start(command)?;
    process.wait_for("ready")?;
    let refused = || -> Result<()> {
        let bad = format!("{}/%00", lab.text("dms"));
        Curl::new(lab.ca()).get(&bad)?.expect_status(400).map(|_| ())
    };
    refused()?;
    ensure!(!process.log().contains("path refused"), "not at first");
    effects.with(LOGGING, &["level"], "set level debug", || {
        refused()?;
        process.wait_for("path refused").map(|_| ())
    })?;
    effects.finish()
}

const BLACK_LIST: &str = "ADP_CLI/System/Security/BlackList";

/// Who may connect, by address: a client of 127.0.0.1 and one of 127.0.0.9, at an HTTP and a CTI interface.
#[test]
fn addresses() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/system.rs::addresses");
    let (https, cti) = (https_port(&lab)?, lab.port_base() + 1);
    let http = |last: u8| {
        let url = format!("https://127.0.0.1:{https}/authService/ping");
        from_source(&Curl::new(lab.ca()), last).get(&url).is_ok()
    };
    let look = || -> Result<[bool; 4]> { Ok([http(1), http(9), is_answered(cti, 1)?, is_answered(cti, 9)?]) };
    let all = [true; 4];
    let rows = |rule: &str| (format!("add {rule}"), format!("delete {rule}"));
    for (parameters, rule, after) in [
        (
            &["source", "mask"][..],
            "127.0.0.9 255.255.255.255 0.0.0.0 1 65535 TCP".to_owned(),
            [true, false, true, false],
        ),
        (&["mask"], "127.0.0.0 29 0.0.0.0 1 65535 TCP".to_owned(), [false, true, false, true]),
        (
            &["portFrom", "portTo"],
            format!("127.0.0.9 32 0.0.0.0 {https} {https} TCP"),
            [true, false, true, true],
        ),
        (&["destination"], "127.0.0.9 32 127.0.0.2 1 65535 TCP".to_owned(), all),
        (&["destination"], "127.0.0.9 32 127.0.0.1 1 65535 TCP".to_owned(), [true, false, true, false]),
        (&["protocol"], "127.0.0.9 32 0.0.0.0 1 65535 UDP".to_owned(), all),
        (&["protocol"], "127.0.0.9 32 0.0.0.0 1 65535 TCP".to_owned(), [true, false, true, false]),
    ] {
        let (add, delete) = rows(&rule);
        effects.see_rows(BLACK_LIST, parameters, (&add, &delete), (all, after), look)?;
    }
    for (list, after) in [("Http", [true, false, true, true]), ("CTI", [true, true, true, false])] {
        let context = format!("ADP_CLI/System/NetworkAccessLists/{list}");
        let look = || -> Result<([bool; 4], bool)> {
            Ok((look()?, lab.administer(&[&format!("{context}> get")])?.contains("This very machine")))
        };
        effects.see_rows(
            &context,
            &["address", "description"],
            ("add 127.0.0.1 \"This very machine\"", "delete 127.0.0.1"),
            ((all, false), (after, true)),
            look,
        )?;
    }
    effects.finish()
}

/// What a user of the machine may do.
#[test]
fn roles() -> Result<()> {
    const ROLES: &str = "ADP_CLI/System/Roles";
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/system.rs::roles");
    let may = |command: &str| -> Result<bool> {
        let output =
            lab.adpcli(&["login nobody", &format!("ADP_CLI/Applications/Xsi-Actions/Paging> {command}")])?;
        Ok(output.status.success())
    };
    let both = || Ok((may("get")?, may("set defaultPageSize 50")?));
    effects.see_rows(
        ROLES,
        &["kind", "name"],
        ("add user nobody view", "delete user nobody"),
        ((false, false), (true, false)),
        both,
    )?;
    effects.see_rows(
        ROLES,
        &["kind", "name"],
        ("add group nogroup view", "delete group nogroup"),
        ((false, false), (true, false)),
        both,
    )?;
    effects.run(ROLES, "add user nobody view")?;
    effects.see_rows(
        ROLES,
        &["role"],
        ("set user nobody role operate", "set user nobody role view"),
        ((true, false), (true, true)),
        both,
    )?;
    effects.finish()
}
