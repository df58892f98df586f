//! `ADP_CLI/Applications/BroadworksDms` and the contexts of the application server that say where devices find their files.

use crate::{device, from_source, retry_after, sql};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Effects, Lab, PATIENCE, Plain};
use std::time::Instant;

const ACCESS: &str = "ADP_CLI/Applications/BroadworksDms/AccessControl";
const DEVICE_ACCESS: &str = "AS_CLI/System/DeviceAccess";
const DEVICE_TYPE: &str = "AS_CLI/System/DeviceType/SIP";
const PC: &str = "Business Communicator - PC";

#[test]
fn who_guesses() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/dms.rs::who_guesses");
    let url = format!("{}/bc/pc/config-wxt.xml", lab.text("dms"));
    let challenge = || {
        let answer = Curl::new(lab.ca()).get(&url)?.expect_status(401)?;
        Ok(answer.header("WWW-Authenticate").map(str::to_owned))
    };
    let (before, after) = ("Basic realm=\"BroadWorks\"".to_owned(), "Basic realm=\"Elsewhere\"".to_owned());
    effects.see(ACCESS, "realm", "Elsewhere", (Some(before), Some(after)), challenge)?;

    let wrong = |source: u8| from_source(&Curl::new(lab.ca()).basic("nobody", "wrong"), source).get(&url);
    let guess = |source: u8, times: usize| -> Result<Vec<u16>> {
        (0..times).map(|_| wrong(source).map(|answer| answer.status)).collect()
    };
    ensure!(guess(20, 7)? == [401; 7], "a hundred are taken at first");
    effects.with(ACCESS, &["failuresPerSource"], "set failuresPerSource 5", || {
        ensure!(guess(21, 7)? == [401, 401, 401, 401, 401, 429, 429], "five are taken");
        ensure!(retry_after(&wrong(21)?)? > 11, "a minute to wait");
        Ok(())
    })?;
    // One source has nearly failed too often; a second one is refused for as long as its window lasts.
    let nearly = guess(22, 4)?;
    ensure!(nearly == [401; 4], "{nearly:?}");
    effects.with(ACCESS, &["blockInSeconds"], "set blockInSeconds 11", || {
        guess(23, 5)?;
        let wait = retry_after(&wrong(23)?)?;
        ensure!((5..=11).contains(&wait), "{wait} seconds to wait");
        Ok(())
    })?;
    effects.with(ACCESS, &["failureWindowInSeconds"], "set failureWindowInSeconds 10", || {
        let began = Instant::now();
        while wrong(23)?.status == 429 {
            ensure!(began.elapsed() < PATIENCE, "still refused");
        }
        ensure!(guess(22, 4)? == [401; 4], "what was before the window is forgotten");
        ensure!(guess(22, 2)? == [401, 429], "what is within it is not");
        Ok(())
    })?;
    effects.finish()
}

#[test]
fn passwords_without_tls() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/dms.rs::passwords_without_tls");
    let plain = Plain::open(&lab)?;
    effects.run(ACCESS, "set failuresPerSource 5")?;
    // A password that is not taken is not looked at, so nobody is refused for guessing.
    let guess = |source: u8| -> Result<Vec<u16>> {
        let url = format!("http://127.0.0.1:{}/dms/bc/pc/config-wxt.xml", plain.port);
        let wrong = from_source(&Curl::new(lab.ca()).basic("nobody", "wrong"), source);
        (0..6).map(|_| wrong.get(&url).map(|answer| answer.status)).collect()
    };
    ensure!(guess(20)? == [401; 6], "not taken");
    effects.with(ACCESS, &["allowBasicOverHttp"], "set allowBasicOverHttp true", || {
        ensure!(guess(21)? == [401, 401, 401, 401, 401, 429], "taken, and found wrong");
        Ok(())
    })?;
    effects.finish()
}

#[test]
fn where_files_are() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/dms.rs::where_files_are");
    let alice = lab.subscriber(0);
    let device = || device(&lab, &alice, PC);
    let url = || Ok(device()?.text_of("deviceTypeUrl").unwrap_or_default().to_owned());
    let first = url()?;
    let port =
        lab.text("dms").rsplit(':').next().and_then(|rest| rest.split('/').next()).context("a port")?;
    ensure!(first == format!("https://127.0.0.1:{port}/dms/bc/pc/"), "{first}");
    for (parameter, value, after) in [
        ("deviceAccessProtocol", "http", first.replace("https:", "http:")),
        ("deviceAccessFQDN", "dms.lab.invalid", first.replace("127.0.0.1", "dms.lab.invalid")),
        ("deviceAccessPort", "4443", first.replace(port, "4443")),
        ("deviceAccessContextName", "files", first.replace("/dms/", "/files/")),
    ] {
        effects.see(DEVICE_ACCESS, parameter, value, (first.clone(), after), url)?;
    }
    let readable = || Ok(device()?.text_of("userName").is_some());
    effects.see(DEVICE_ACCESS, "allowCredentialReadOut", "false", (true, false), readable)?;

    effects.see_rows(
        DEVICE_TYPE,
        &["deviceType", "deviceAccessContextName"],
        (
            &format!("set \"{PC}\" deviceAccessContextName files"),
            &format!("clear \"{PC}\" deviceAccessContextName"),
        ),
        (first.clone(), first.replace("/dms/", "/files/")),
        url,
    )?;
    let shown = device()?;
    let (user, password) = (
        shown.text_of("userName").context("no user name")?.to_owned(),
        shown.text_of("password").context("no password")?.to_owned(),
    );
    let client = Curl::new(lab.ca()).basic(&user, &password);
    let file = |folder: &str| {
        client.get(&format!("{}/{folder}config-wxt.xml", lab.text("dms"))).map(|answer| answer.status)
    };
    // A file of the type that an operator brought along, for somebody with a name that is not plain ASCII.
    lab.administer(&[&format!("AS_CLI/SubscriberMgmt/User> set {} firstName Zoë", alice.user_id)])?;
    sql(
        &lab,
        "INSERT INTO device_files VALUES ('Business Communicator - PC', 'phone.xml', \
         '<?xml version=\"1.0\" encoding=\"UTF-8\"?><phone name=\"%BWFIRSTNAME-1%\" language=\"%BWLANGUAGE-1%\"/>', 0)",
    )?;
    let phone = || client.get(&format!("{}/bc/pc/phone.xml", lab.text("dms")))?.expect_status(200);
    let encoded = || {
        let file = phone()?;
        let charset =
            file.header("Content-Type").and_then(|kind| kind.split("charset=").nth(1)).map(str::to_owned);
        // Read as UTF-8, the one byte of ISO-8859-1 is none.
        Ok((
            charset,
            file.body.contains("encoding=\"UTF-8\""),
            file.body.contains("Zoë"),
            file.body.contains("Zo\u{fffd}"),
        ))
    };
    effects.see_rows(
        DEVICE_TYPE,
        &["defaultDeviceEncoding"],
        (
            &format!("set \"{PC}\" defaultDeviceEncoding ISO-8859-1"),
            &format!("clear \"{PC}\" defaultDeviceEncoding"),
        ),
        ((Some("UTF-8".to_owned()), true, true, false), (Some("ISO-8859-1".to_owned()), false, false, true)),
        encoded,
    )?;
    effects.see_rows(
        DEVICE_TYPE,
        &["defaultDeviceLanguage"],
        (
            &format!("set \"{PC}\" defaultDeviceLanguage nb_NO"),
            &format!("clear \"{PC}\" defaultDeviceLanguage"),
        ),
        (false, true),
        || Ok(phone()?.body.contains("language=\"nb_NO\"")),
    )?;
    effects.see_rows(
        DEVICE_TYPE,
        &["deviceAccessURI"],
        (&format!("set \"{PC}\" deviceAccessURI desk/app/"), &format!("set \"{PC}\" deviceAccessURI bc/pc/")),
        ((first.clone(), 200, 404), (first.replace("bc/pc/", "desk/app/"), 404, 200)),
        || Ok((url()?, file("bc/pc/")?, file("desk/app/")?)),
    )?;
    effects.finish()
}
