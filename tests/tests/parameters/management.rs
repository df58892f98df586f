//! The commands of `AS_CLI` that act on subscribers, devices and calls, and the one parameter that needs a password of its
//! own kind to be seen.

use crate::device;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Curl, Effects, Lab};

const USERS: &str = "AS_CLI/SubscriberMgmt/User";
const GROUPS: &str = "AS_CLI/SubscriberMgmt/Group";
const PROVIDERS: &str = "AS_CLI/SubscriberMgmt/ServiceProvider";
const ADMINISTRATORS: &str = "AS_CLI/SubscriberMgmt/Administrator";
const DEVICES: &str = "AS_CLI/System/Device/IpDeviceMgmt";
const DIAG: &str = "AS_CLI/ASDiagnostic/Diag";
const CONTAINER: &str = "ADP_CLI/Applications/WebContainer/Tomcat/GeneralSettings";
const XSI: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";

/// A command that must succeed; gives what it printed.
fn done(lab: &Lab, context: &str, command: &str) -> Result<String> {
    lab.administer(&[&format!("{context}> {command}")])
}

/// What a command that must be refused printed.
fn refused(lab: &Lab, context: &str, command: &str) -> Result<String> {
    let output = lab.adpcli(&[&format!("{context}> {command}")])?;
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && !printed.contains("...Done"), "{command}: {printed}");
    Ok(printed)
}

fn profile(lab: &Lab, account: &Account) -> Result<(u16, String)> {
    let answer = lab.curl(account).get(&lab.user_url(account, "profile"))?;
    Ok((answer.status, answer.text_of("lastName").unwrap_or_default().to_owned()))
}

/// The lab's enterprise and the group of its first subscriber.
fn group(lab: &Lab) -> Result<(String, String)> {
    let group = lab.description["subscribers"][0]["group"].as_str().context("a group")?;
    Ok((lab.subscriber(0).enterprise, group.to_owned()))
}

#[test]
fn subscribers() -> Result<()> {
    let lab = Lab::start()?;
    let (enterprise, group) = group(&lab)?;
    let zoe = Account {
        user_id: "zoe.zabel@lab.example".to_owned(),
        password: "zoe-s-password".to_owned(),
        extension: "7777".to_owned(),
        enterprise: enterprise.clone(),
    };
    let alice = lab.subscriber(0);
    let add = format!(
        "add {enterprise} {group} {} Zabel Zoe extension 7777 phoneNumber +12125557777 title \"Night watch\" password {}",
        zoe.user_id, zoe.password
    );
    ensure!(profile(&lab, &zoe)?.0 == 401, "nobody yet");
    let added = done(&lab, USERS, &add)?;
    ensure!(added.contains("...Done") && !added.contains(&zoe.password), "{added}");
    ensure!(profile(&lab, &zoe)? == (200, "Zabel".to_owned()), "{:?}", profile(&lab, &zoe)?);
    ensure!(refused(&lab, USERS, &add)?.contains("entry is already present in list"), "twice");
    let listed = done(&lab, USERS, &format!("get {enterprise}"))?;
    ensure!(listed.contains("zoe.zabel@lab.example") && listed.contains("entries found."), "{listed}");
    let details = done(&lab, USERS, &format!("detail {}", zoe.user_id))?;
    ensure!(details.contains("  title = Night watch\n") && details.contains("extension = 7777"), "{details}");

    // Calls reach it, and where they would go is told.
    let call = lab.curl(&alice).post(&lab.user_url(&alice, "calls/new?address=7777"))?.expect_status(201)?;
    let route = done(&lab, DIAG, &format!("vtr {} 7777", alice.user_id))?;
    ensure!(
        route.contains("result = rings") && route.contains("terminator = zoe.zabel@lab.example"),
        "{route}"
    );
    let status = done(&lab, DIAG, "status")?;
    ensure!(status.contains("  calls = 1\n"), "{status}");
    let id = call.text_of("callId").context("no callId")?;
    lab.curl(&alice).delete(&lab.user_url(&alice, &format!("calls/{id}")))?.expect_status(200)?;

    done(&lab, USERS, &format!("set {} lastName Zadok title \"\" password another-one", zoe.user_id))?;
    ensure!(profile(&lab, &zoe)?.0 == 401, "the old password");
    let changed = Account { password: "another-one".to_owned(), ..zoe.clone() };
    ensure!(profile(&lab, &changed)? == (200, "Zadok".to_owned()), "changed");
    let taken = refused(&lab, USERS, &format!("set {} extension {}", zoe.user_id, alice.extension))?;
    ensure!(taken.contains("entry is already present in list"), "{taken}");

    // Without a password one is made up, printed once, and good.
    let made = done(&lab, USERS, &format!("add {enterprise} {group} made.up@lab.example Up Made"))?;
    let password =
        made.split("Password: ").nth(1).and_then(|rest| rest.split(' ').next()).context("a password")?;
    let made =
        Account { user_id: "made.up@lab.example".to_owned(), password: password.to_owned(), ..zoe.clone() };
    ensure!(profile(&lab, &made)?.0 == 200, "made up");

    for user in [&zoe, &made] {
        done(&lab, USERS, &format!("delete {}", user.user_id))?;
    }
    ensure!(profile(&lab, &changed)?.0 == 401, "deleted");
    ensure!(refused(&lab, USERS, &format!("delete {}", zoe.user_id))?.contains("Entry not found"), "twice");
    let route = done(&lab, DIAG, &format!("vtr {} 7777", alice.user_id))?;
    ensure!(route.contains("result = no such number"), "{route}");
    Ok(())
}

#[test]
fn organisations_and_administrators() -> Result<()> {
    let lab = Lab::start()?;
    done(&lab, PROVIDERS, "add north isEnterprise false")?;
    done(&lab, GROUPS, "add north harbour")?;
    ensure!(refused(&lab, GROUPS, "add south harbour")?.contains("Entry not found"), "no such provider");
    ensure!(refused(&lab, PROVIDERS, "add north")?.contains("already present"), "twice");
    ensure!(done(&lab, GROUPS, "get north")?.contains("1 entry found."), "one group");
    let provider = refused(&lab, PROVIDERS, "delete north")?;
    ensure!(provider.contains("there are still groups below it"), "{provider}");
    done(&lab, USERS, "add north harbour nils@north.example North Nils password nils-password")?;
    ensure!(refused(&lab, GROUPS, "delete north harbour")?.contains("there are still users"), "not empty");
    done(&lab, USERS, "delete nils@north.example")?;
    done(&lab, GROUPS, "delete north harbour")?;
    done(&lab, PROVIDERS, "delete north")?;
    ensure!(!done(&lab, PROVIDERS, "get")?.contains("north"), "gone");

    let alice = lab.subscriber(0);
    let admin = Account {
        user_id: "ops@lab.example".to_owned(),
        password: "ops-password".to_owned(),
        ..alice.clone()
    };
    let sees = || lab.curl(&admin).get(&lab.user_url(&alice, "profile")).map(|answer| answer.status);
    ensure!(sees()? == 401, "nobody yet");
    done(&lab, ADMINISTRATORS, &format!("add {} system password {}", admin.user_id, admin.password))?;
    ensure!(sees()? == 200 && done(&lab, ADMINISTRATORS, "get")?.contains("ops@lab.example"), "added");
    refused(&lab, ADMINISTRATORS, "add group.ops@lab.example group password x")?;
    done(&lab, ADMINISTRATORS, &format!("set {} password changed-password", admin.user_id))?;
    ensure!(sees()? == 401, "the old password");
    done(&lab, ADMINISTRATORS, &format!("delete {}", admin.user_id))?;
    ensure!(sees()? == 401, "deleted");
    Ok(())
}

#[test]
fn devices_and_registrations() -> Result<()> {
    let lab = Lab::start()?;
    let (enterprise, group) = group(&lab)?;
    let alice = lab.subscriber(0);
    let local = alice.user_id.split('@').next().unwrap_or_default();
    let name = format!("{local}_desk");
    done(
        &lab,
        DEVICES,
        &format!("add {enterprise} {group} {name} \"Connect - Mobile\" macAddress 0A1B2C3D4E5F"),
    )?;
    let of_type = |kind: &str| -> Result<Vec<String>> {
        let answer = lab.curl(&alice).get(&lab.user_url(&alice, "profile/device"))?.expect_status(200)?;
        let parts = answer.body.split("<accessDevice>").filter(|part| part.contains(kind));
        let name = |part: &str| part.split("<deviceName>").nth(1)?.split('<').next().map(str::to_owned);
        Ok(parts.filter_map(name).collect())
    };
    ensure!(of_type("Connect - Mobile")?.contains(&name), "{:?}", of_type("Connect - Mobile")?);
    // It fetches its file with the account that it was given.
    let shown = device(&lab, &alice, &name)?;
    let user = shown.text_of("userName").context("no user name")?;
    let password = shown.text_of("password").context("no password")?;
    let file = |folder: &str| -> Result<u16> {
        let client = Curl::new(lab.ca()).basic(user, password);
        client.get(&format!("{}/{folder}config-wxt.xml", lab.text("dms"))).map(|answer| answer.status)
    };
    ensure!((file("connect/mobile/")?, file("bc/pc/")?) == (200, 404), "the file of its type");
    let scope = format!("groupDeviceProfile {enterprise} {group} {name}");
    let switched = done(&lab, DEVICES, &format!("switchDeviceType {scope} \"Business Communicator - PC\""))?;
    ensure!(switched.contains("1 device changed.") && switched.contains("...Done"), "{switched}");
    ensure!((file("connect/mobile/")?, file("bc/pc/")?) == (404, 200), "the file of its new type");
    refused(&lab, DEVICES, &format!("switchDeviceType {scope} \"No Such Type\""))?;
    refused(&lab, DEVICES, "switchDeviceType system \"Connect - Tablet\"")?;
    ensure!(done(&lab, DEVICES, "get")?.contains("0a1b2c3d4e5f"), "listed");
    done(&lab, DEVICES, &format!("delete {enterprise} {group} {name}"))?;
    ensure!(!of_type("Business Communicator - PC")?.contains(&name), "deleted");

    let contacts = |user: &str| done(&lab, "AS_CLI/System/Registration/Contacts", &format!("get {user}"));
    let body = format!(
        "<PushNotificationRegistration {XSI}><applicationId>com.example.phone</applicationId><applicationVersion>1.0</applicationVersion><registrationId>on-the-desk</registrationId><deviceOSType>ios</deviceOSType><deviceOSVersion>26</deviceOSVersion><deviceTokenList><deviceToken><token>00ff00ff</token><type>VoIP</type><pushNotificationEvents><event>NEW_CALL</event></pushNotificationEvents></deviceToken></deviceTokenList></PushNotificationRegistration>"
    );
    let url = lab.user_url(&alice, "profile/PushNotificationRegistrations");
    lab.curl(&alice).body(body).post(&url)?.expect_status(201)?;
    let listed = contacts(&alice.user_id)?;
    ensure!(listed.contains("on-the-desk") && listed.contains("com.example.phone"), "{listed}");
    ensure!(contacts("")?.contains("on-the-desk"), "among all");
    lab.curl(&alice).delete(&format!("{url}/on-the-desk"))?.expect_status(200)?;
    ensure!(!contacts(&alice.user_id)?.contains("on-the-desk"), "gone");
    Ok(())
}

#[test]
fn encoding() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/management.rs::encoding");
    let (enterprise, group) = group(&lab)?;
    let account = Account {
        user_id: "zoe@lab.example".to_owned(),
        password: "pässwörd".to_owned(),
        extension: String::new(),
        enterprise: enterprise.clone(),
    };
    let add = format!("add {enterprise} {group} {} Zabel Zoë password {}", account.user_id, account.password);
    done(&lab, USERS, &add)?;
    // curl sends the bytes that it was given: UTF-8 here.
    effects
        .see(CONTAINER, "authenticationEncoding", "UTF-8", (401, 200), || Ok(profile(&lab, &account)?.0))?;
    effects.finish()
}
