//! Contexts of the CLI and what they change, seen from outside: set through `adpcli`, met with curl.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Lab, Response};
use std::process::Command;

fn https_port(lab: &Lab) -> Result<u16> {
    let host = lab.text("xsi_actions").split('/').nth(2).context("a host")?;
    host.rsplit(':').next().context("a port")?.parse().context("a port")
}

/// Applications answer on the interfaces that they are bound to, and the others are not known there.
#[test]
fn an_interface_serves_what_is_bound_to_it() -> Result<()> {
    let lab = Lab::start()?;
    let (port, alice) = (https_port(&lab)?, lab.subscriber(0));
    let status = |url: &str| lab.curl(&alice).get(url).map(|answer| answer.status);
    let (ping, profile) = (format!("{}/ping", lab.text("auth_service")), lab.user_url(&alice, "profile"));
    ensure!((status(&ping)?, status(&profile)?) == (204, 200), "everything answers everywhere");

    let bind = |command: &str| lab.administer(&[&format!("ADP_CLI/Interface/Http/HttpBinding> {command}")]);
    bind(&format!("add 127.0.0.1 {port} AuthenticationService"))?;
    ensure!((status(&ping)?, status(&profile)?) == (204, 404), "bound to one application");
    let missing = lab.curl(&alice).get(&profile)?;
    ensure!(missing.body == "not found\n", "{missing:?}");
    // Another interface's entries do not matter here.
    bind(&format!("add 127.0.0.1 {} BroadworksDms", port + 1))?;
    ensure!((status(&ping)?, status(&profile)?) == (204, 404), "still the one");
    let table = bind("get")?;
    ensure!(table.contains("Interface Ip") && table.contains("2 entries found."), "{table}");

    bind(&format!("delete 127.0.0.1 {port} AuthenticationService"))?;
    ensure!((status(&ping)?, status(&profile)?) == (204, 200), "everything again");
    Ok(())
}

/// A user who asks too often is told to come back; others are not.
#[test]
fn a_user_beyond_the_transaction_limit_is_refused() -> Result<()> {
    let lab = Lab::start()?;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let get = |account, resource: &str| lab.curl(account).get(&lab.user_url(account, resource));
    lab.administer(&[
        "ADP_CLI/System/CommunicationUtility/DefaultSettings> set transactionLimitPeriodSecs 3600 userTransactionLimit 3",
    ])?;
    for _ in 0..3 {
        get(&alice, "profile")?.expect_status(200)?;
    }
    let refused = get(&alice, "profile")?.expect_status(503)?;
    ensure!(refused.text_of("errorCode") == Some("210504"), "{refused:?}");
    ensure!(refused.header("Retry-After").is_some(), "{refused:?}");
    get(&bo, "profile")?.expect_status(200)?;
    // Lifted at once.
    lab.administer(&["ADP_CLI/System/CommunicationUtility/DefaultSettings> clear userTransactionLimit"])?;
    get(&alice, "profile")?.expect_status(200)?;
    Ok(())
}

/// Directories have limits of their own, which must leave room for the start of a client.
#[test]
fn directories_beyond_their_limit_are_refused() -> Result<()> {
    const OVERLOAD: &str = "ADP_CLI/Applications/Xsi-Actions/OverloadControl>";
    let lab = Lab::start()?;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let get = |account, resource: &str| lab.curl(account).get(&lab.user_url(account, resource));
    lab.administer(&[
        "ADP_CLI/System/CommunicationUtility/DefaultSettings> set transactionLimitPeriodSecs 60",
    ])?;
    let few = lab.adpcli(&[&format!("{OVERLOAD} set userDirectoryTransactionLimit 299")])?;
    let printed = String::from_utf8_lossy(&few.stdout).into_owned() + &String::from_utf8_lossy(&few.stderr);
    ensure!(few.status.code() == Some(1) && printed.contains("at least 300"), "{printed}");

    lab.administer(&[
        "ADP_CLI/System/CommunicationUtility/DefaultSettings> set transactionLimitPeriodSecs 10",
        &format!("{OVERLOAD} set userDirectoryTransactionLimit 50"),
    ])?;
    // 102 requests touch two periods at most, so one of them sees more than 50.
    let url = format!("{}?start=[1-102]", lab.user_url(&alice, "directories/enterprise"));
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code} ", "--cacert"])
        .arg(lab.ca())
        .args(["--user", &format!("{}:{}", alice.user_id, alice.password), &url])
        .output()?;
    let statuses = String::from_utf8(output.stdout)?;
    let count = |status: &str| statuses.split(' ').filter(|found| *found == status).count();
    ensure!(count("200") + count("503") == 102, "{statuses}");
    ensure!((50..102).contains(&count("200")), "{statuses}");
    // What is no directory goes on, and so do others.
    get(&alice, "profile")?.expect_status(200)?;
    get(&bo, "directories/enterprise")?.expect_status(200)?;
    Ok(())
}

/// What this build does not read is kept, and said to be without effect whenever it is set.
#[test]
fn a_parameter_without_effect_says_so() -> Result<()> {
    const CISCO: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco";
    const UNUSED: &str = "ADP_CLI/Interface/SNMP/Agent";
    const MOVED: &str =
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CiscoIdentityProvider";
    let lab = Lab::seed()?;
    for _ in 0..2 {
        let printed = lab.administer(&[&format!("{UNUSED}> set port 8002 readCommunity s3cr3t")])?;
        ensure!(printed.trim() == "...Done [not used by this build: port, readCommunity]", "{printed}");
    }
    // The newer place is the same place, also by walking there.
    let printed = lab.administer(&[&format!("{CISCO}> set clientId someone clientSecret s3cr3t")])?;
    ensure!(printed.trim() == "...Done", "{printed}");
    let printed = lab.administer(&[&format!("{MOVED}> get"), &format!("{MOVED}/Partners> get")])?;
    ensure!(
        printed.contains("clientId = someone") && printed.contains("clientSecret = ********"),
        "{printed}"
    );
    ensure!(printed.contains("Partner Name") && printed.contains("0 entry found."), "{printed}");
    let help = lab.administer(&[&format!("{UNUSED}> help set")])?;
    ensure!(help.contains("Not used by this build"), "{help}");
    Ok(())
}

/// Where devices are told to find their files, and where they find them.
#[test]
fn files_of_a_device_type_are_where_it_says() -> Result<()> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0);
    let devices = || -> Result<Response> {
        let answer = lab.curl(&alice).get(&lab.user_url(&alice, "profile/device"))?.expect_status(200)?;
        let mut all = answer.body.split("<accessDevice>");
        let pc = all.find(|part| part.contains("Business Communicator - PC")).context("no such device")?;
        Ok(Response { body: pc.to_owned(), ..answer })
    };
    let before = devices()?;
    ensure!(before.body.contains("/dms/bc/pc/"), "{before:?}");
    let user = before.text_of("userName").context("no device user name")?;
    let password = before.text_of("password").context("no device password")?;
    let device = Curl::new(lab.ca()).basic(user, password);
    let file = |folder: &str| device.get(&format!("{}/{folder}config-wxt.xml", lab.text("dms")));
    file("bc/pc/")?.expect_status(200)?;

    lab.administer(&[
        r#"AS_CLI/System/DeviceType/SIP> set "Business Communicator - PC" deviceAccessURI desk/app/"#,
    ])?;
    let after = devices()?;
    ensure!(after.body.contains("/dms/desk/app/") && !after.body.contains("/dms/bc/pc/"), "{after:?}");
    file("desk/app/")?.expect_status(200)?;
    file("bc/pc/")?.expect_status(404)?;
    Ok(())
}
