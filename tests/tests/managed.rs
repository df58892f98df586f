//! `Maintenance/ManagedObjects` acts on the running host: what is undeployed is gone at once, what is installed is served, and
//! nobody else notices. cli.md 5.7

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Lab, Plain, binary, python};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

const HERE: &str = "ADP_CLI/Maintenance/ManagedObjects>";

fn command(words: &str) -> String {
    format!("{HERE} {words}")
}

/// An archive as the packers of web applications make it, by Python's own library.
fn war(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("BWCallSettingsWeb_1.7.5_1.war");
    let script = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as war:
    war.writestr('index.html', '<p>call settings</p>')
    war.writestr('css/main.css', 'p{}')
    war.writestr('page.jsp', '<% secret %>')
    war.writestr('WEB-INF/classes/secret.txt', 'secret')
    war.writestr('WEB-INF/web.xml', '<web-app><servlet-mapping><servlet-name>Login</servlet-name>'
        '<url-pattern>/login/*</url-pattern></servlet-mapping></web-app>')
";
    let made = Command::new(python()?).args(["-c", script]).arg(&path).status()?;
    assert!(made.success());
    Ok(path)
}

/// Where the lab's HTTP applications are.
fn origin(lab: &Lab) -> String {
    lab.text("dms").trim_end_matches("/dms").to_owned()
}

/// Asks until the answer has this status: other processes follow within half a second.
fn becomes(curl: &Curl, url: &str, status: u16) -> Result<()> {
    let deadline = Instant::now() + openadp_suite::PATIENCE;
    loop {
        let answer = curl.get(url)?;
        if answer.status == status {
            return Ok(());
        }
        if Instant::now() > deadline {
            answer.expect_status(status)?;
        }
    }
}

#[test]
fn built_in_applications_go_and_come_back_while_others_serve() -> Result<()> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0);
    let (curl, origin) = (lab.curl(&alice), origin(&lab));
    let anonymous = Curl::new(lab.ca());
    let profile = lab.user_url(&alice, "profile");
    let paths = [
        "/authService/keys",
        "/com.broadsoft.xsi-events/v2.0/versions",
        "/dms/x",
        "/com.broadsoft.xsi-actions/v2.0/versions",
    ];
    let table = lab.administer(&[&command("get")])?;
    for name in
        ["AuthenticationService", "Xsi-Actions", "Xsi-Events", "BroadworksDms", "NotificationPushServer"]
    {
        let row =
            table.lines().find(|line| line.contains(name)).with_context(|| format!("{name} in {table}"))?;
        assert!(row.contains("Deployed") && row.contains(env!("CARGO_PKG_VERSION")), "{row}");
    }
    assert!(table.ends_with("5 entries found.\n"), "{table}");

    for path in paths {
        let url = format!("{origin}{path}");
        assert_ne!(curl.get(&url)?.body, "not found\n", "{path} is served by an application");
    }
    let channel = lab.channel(&alice, "managed")?;
    for (path, probe) in ["/authService", "/dms"].into_iter().zip(["/authService/keys", "/dms/x"]) {
        let printed = lab.administer(&[&command(&format!("undeploy application {path}"))])?;
        assert_eq!(printed, format!("undeploying {path}\n...Done\n"));
        // The process that answered the command has done it.
        let gone = anonymous.get(&format!("{origin}{probe}"))?.expect_status(404)?;
        assert_eq!(gone.body, "not found\n");
        curl.get(&profile)?.expect_status(200)?;
        lab.administer(&[&command(&format!("deploy application {path}"))])?;
        assert_ne!(anonymous.get(&format!("{origin}{probe}"))?.body, "not found\n");
    }
    drop(channel);

    lab.administer(&[&command("stop application Xsi-Actions")])?;
    let stopped = curl.get(&profile)?.expect_status(503)?;
    assert_eq!(stopped.header("retry-after"), Some("2"));
    let events = format!("{origin}/com.broadsoft.xsi-events/v2.0/versions");
    assert_ne!(curl.get(&events)?.status, 503);
    lab.administer(&[&command("start application Xsi-Actions")])?;
    curl.get(&profile)?.expect_status(200)?;

    // NotificationPushServer is a process of its own, which follows the store.
    let push = lab.text("nps").to_owned();
    let before = anonymous.get(&push)?;
    assert_ne!(before.body, "not found\n");
    lab.administer(&[&command("undeploy application /nps")])?;
    becomes(&anonymous, &push, 404)?;
    lab.administer(&[&command("deploy application /nps")])?;
    becomes(&anonymous, &push, before.status)
}

#[test]
fn an_archive_is_served_and_its_servlets_are_not() -> Result<()> {
    let lab = Lab::start()?;
    let folder = tempfile::tempdir()?;
    let file = war(folder.path())?;
    let printed = lab.administer(&[
        &command(&format!("install application {}", file.display())),
        &command("activate application BWCallSettingsWeb 1.7.5 /callsettings"),
        &command("deploy application /callsettings"),
        &command("get"),
    ])?;
    for text in ["2 files", "Login", "deploying /callsettings", "6 entries found."] {
        assert!(printed.contains(text), "{text} in {printed}");
    }
    let (curl, origin) = (Curl::new(lab.ca()), origin(&lab));
    let get = |path: &str| curl.get(&format!("{origin}/callsettings{path}"));
    for path in ["", "/", "/index.html"] {
        let page = get(path)?.expect_status(200)?;
        assert_eq!(page.body, "<p>call settings</p>");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    }
    let css = get("/css/main.css")?.expect_status(200)?;
    let etag = css.header("etag").context("an ETag")?.to_owned();
    let since = css.header("last-modified").context("a date")?.to_owned();
    for condition in [format!("If-None-Match: {etag}"), format!("If-Modified-Since: {since}")] {
        let kept = curl.clone().header(&condition).get(&format!("{origin}/callsettings/css/main.css"))?;
        assert_eq!((kept.status, kept.body.as_str()), (304, ""), "{condition}");
    }
    let head = curl.send("HEAD", &format!("{origin}/callsettings/css/main.css"))?.expect_status(200)?;
    assert_eq!(head.header("content-length"), Some("3"));
    for path in
        ["/WEB-INF/web.xml", "/WEB-INF/classes/secret.txt", "/web-inf/classes/secret.txt", "/nothing", "/css"]
    {
        get(path)?.expect_status(404)?;
    }
    for path in [
        "/%2e%2e/%2e%2e/settings/machine.key",
        "/../settings/machine.key",
        "/..%2f..%2fsettings%2fmachine.key",
    ] {
        let refused = get(path)?;
        assert!([400, 404].contains(&refused.status), "{path}: {}", refused.status);
    }
    let servlet = get("/login/now")?.expect_status(501)?;
    assert!(servlet.body.contains("servlet Login is not run"), "{}", servlet.body);
    get("/page.jsp")?.expect_status(501)?;

    // It is still there after a restart, and gone when it is undeployed.
    let mut lab = lab;
    let process = lab.process.as_mut().context("the lab")?;
    process.signal("TERM")?;
    process.wait()?;
    lab.run()?;
    get("/")?.expect_status(200)?;
    lab.administer(&[
        &command("undeploy application /callsettings"),
        &command("deactivate application /callsettings"),
    ])?;
    get("/")?.expect_status(404)?;
    let printed =
        lab.administer(&[&command("uninstall application BWCallSettingsWeb 1.7.5"), &command("get")])?;
    assert!(printed.ends_with("5 entries found.\n"), "{printed}");
    Ok(())
}

/// Somebody who asks another application over and over, on connections that are kept, while applications come and go.
#[test]
fn nobody_else_notices_when_applications_come_and_go() -> Result<()> {
    const ASKERS: usize = 3;
    let lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let folder = tempfile::tempdir()?;
    let file = war(folder.path())?;
    let stop = AtomicBool::new(false);
    let (stop, plain, lab) = (&stop, &plain, &lab);
    let answered = AtomicU64::new(0);
    let answered = &answered;
    std::thread::scope(|scope| -> Result<()> {
        let askers: Vec<_> = (0..ASKERS)
            .map(|index| {
                let account = lab.subscriber(index);
                scope.spawn(move || -> Result<()> {
                    let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", account.user_id);
                    let request = Plain::bytes("GET", &path, &[&Plain::basic(&account)], "");
                    let mut connection = plain.connect()?;
                    while !stop.load(Ordering::SeqCst) {
                        connection.send(&request)?;
                        connection.response()?.expect_status(200)?;
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(())
                })
            })
            .collect();
        let come_and_go = || -> Result<()> {
            for _ in 0..3 {
                for words in [
                    format!("install application {}", file.display()),
                    "activate application BWCallSettingsWeb 1.7.5 /callsettings".to_owned(),
                    "deploy application /callsettings".to_owned(),
                    "stop application BWCallSettingsWeb".to_owned(),
                    "start application BWCallSettingsWeb".to_owned(),
                    "undeploy application /dms".to_owned(),
                    "stop application AuthenticationService".to_owned(),
                    "start application AuthenticationService".to_owned(),
                    "deploy application /dms".to_owned(),
                    "undeploy application /callsettings".to_owned(),
                    "deactivate application /callsettings".to_owned(),
                    "uninstall application BWCallSettingsWeb 1.7.5".to_owned(),
                ] {
                    let before = answered.load(Ordering::SeqCst);
                    lab.administer(&[&command(&words)])?;
                    // Requests went on over every step.
                    let deadline = Instant::now() + openadp_suite::PATIENCE;
                    while answered.load(Ordering::SeqCst) < before + 5 && Instant::now() < deadline {
                        std::thread::yield_now();
                    }
                    ensure!(
                        answered.load(Ordering::SeqCst) >= before + 5,
                        "nobody is answered after {words}"
                    );
                }
            }
            Ok(())
        };
        let outcome = come_and_go();
        stop.store(true, Ordering::SeqCst);
        for asker in askers {
            asker.join().map_err(|_| anyhow::anyhow!("an asker panicked"))??;
        }
        outcome
    })
}

/// A path is the operator's, wherever the process that answers runs.
#[test]
fn an_archive_may_be_named_from_where_the_operator_stands() -> Result<()> {
    let lab = Lab::start()?;
    let folder = tempfile::tempdir()?;
    war(folder.path())?;
    let output = Command::new(binary("adpcli"))
        .arg("--data-dir")
        .arg(&lab.data_dir)
        .args(["-c", &command("install application ./BWCallSettingsWeb_1.7.5_1.war")])
        .current_dir(folder.path())
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && printed.contains("2 files"), "{printed}");
    let output = lab.adpcli(&[&command("install application nowhere_1.war")])?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(printed.contains("cannot read /") && printed.contains("/nowhere_1.war"), "{printed}");
    Ok(())
}
