//! `AS_CLI/Interface/SIP/ProxyPolicy`, as `vtri` applies it to a message that is pasted.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Effects, Lab, binary};
use std::cell::RefCell;
use std::io::Write as _;
use std::process::{Command, Stdio};

const RULE: &str = "AS_CLI/Interface/SIP/ProxyPolicy/Rule";
const HEADERS: &str = "AS_CLI/Interface/SIP/ProxyPolicy/HeaderPolicy";
const TAGS: &str = "AS_CLI/Interface/SIP/ProxyPolicy/OptionTagPolicy";
const VTRI: &str = "AS_CLI/ASDiagnostic/Diag> vtri";

/// What vtri prints of a message, with single blanks.
fn vtri(lab: &Lab, message: &[String]) -> Result<String> {
    let mut lines = vec![VTRI];
    lines.extend(message.iter().map(String::as_str));
    lines.push(".");
    let printed = lab.administer(&lines)?;
    Ok(printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect())
}

/// A message with a header and an option tag that may have policies.
fn message(first: &str, from: &str, to: &str) -> Vec<String> {
    vec![
        first.to_owned(),
        "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1".to_owned(),
        format!("f: <sip:{from}>;tag=1"),
        format!("To: <sip:{to}>"),
        "X-Trace: a; b; y".to_owned(),
        "k: 100rel, timer".to_owned(),
    ]
}

#[test]
fn policies() -> Result<()> {
    let lab = Lab::start()?;
    let effects = RefCell::new(Effects::of(&lab, "parameters/proxy_policy.rs::policies"));
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let (elsewhere, other) = ("+19995550199@elsewhere.invalid", "+19995550198@elsewhere.invalid");
    let request = |from: &str, to: &str| message(&format!("INVITE sip:{to} SIP/2.0"), from, to);
    let answer = |from: &str, to: &str| message("SIP/2.0 180 Ringing", from, to);
    let (alice_at, bo_at) = (alice.user_id.clone(), bo.user_id.clone());

    // The way of an INVITE is that of vtr.
    let extension = format!("{}@lab.example", bo.extension);
    let led = vtri(&lab, &request(&alice_at, &extension))?;
    for line in [
        format!("originator = {alice_at}"),
        format!("dialled = {}", bo.extension),
        format!("terminator = {bo_at}"),
        "result = rings".to_owned(),
        "direction = request from access to access".to_owned(),
        "Via header ends here".to_owned(),
    ] {
        ensure!(led.contains(&line), "{line}: {led}");
    }
    let unknown = vtri(&lab, &request(&alice_at, elsewhere))?;
    ensure!(unknown.contains("result = no such number"), "{unknown}");

    effects.borrow_mut().with(
        RULE,
        &["name"],
        "add Own false false false false false false false false",
        || {
            let table = lab.administer(&[&format!("{RULE}> get")])?;
            ensure!(table.contains("Own") && table.contains("1 entry found."), "{table}");
            Ok(())
        },
    )?;
    let both = |message: &[String]| -> Result<(bool, bool)> {
        let printed = vtri(&lab, message)?;
        let of = |name: &str, kind: &str| -> Result<bool> {
            let row =
                printed.lines().find(|line| line.starts_with(&format!("{name} {kind} "))).context("a row")?;
            Ok(row.ends_with("goes on"))
        };
        Ok((of("X-Trace", "header")?, of("100rel", "Supported")?))
    };
    // The first that it has is the one with a policy; it is named in any case.
    let here = request(&alice_at, &extension);
    ensure!(!both(&here)?.0, "without a policy it ends here");
    effects.borrow_mut().with(HEADERS, &["name", "rule"], "add x-trace own", || {
        let printed = vtri(&lab, &here)?;
        ensure!(printed.contains("X-Trace header Own removed"), "{printed}");
        Ok(())
    })?;
    effects.borrow_mut().with(TAGS, &["name", "rule"], "add 100REL Own", || {
        let printed = vtri(&lab, &here)?;
        ensure!(printed.contains("100rel Supported Own removed"), "{printed}");
        ensure!(printed.contains("timer Supported ends here"), "{printed}");
        Ok(())
    })?;
    for (parameter, message, direction) in [
        ("requestAccessToAccess", request(&alice_at, &extension), "request from access to access"),
        ("requestAccessToNetwork", request(&alice_at, elsewhere), "request from access to network"),
        ("requestNetworkToAccess", request(elsewhere, &bo_at), "request from network to access"),
        ("requestNetworkToNetwork", request(elsewhere, other), "request from network to network"),
        ("responseAccessToAccess", answer(&alice_at, &bo_at), "answer from access to access"),
        ("responseAccessToNetwork", answer(elsewhere, &bo_at), "answer from access to network"),
        ("responseNetworkToAccess", answer(&alice_at, elsewhere), "answer from network to access"),
        ("responseNetworkToNetwork", answer(elsewhere, other), "answer from network to network"),
    ] {
        let printed = vtri(&lab, &message)?;
        ensure!(printed.contains(&format!("direction = {direction}")), "{parameter}: {printed}");
        let (set, back) = (format!("set Own {parameter} true"), format!("set Own {parameter} false"));
        effects.borrow_mut().see_rows(
            RULE,
            &[parameter],
            (&set, &back),
            ((false, false), (true, true)),
            || both(&message),
        )?;
    }
    // A rule that is named stays.
    let kept = lab.adpcli(&[&format!("{RULE}> delete Own")])?;
    let text = String::from_utf8_lossy(&kept.stdout).into_owned();
    ensure!(!kept.status.success() && text.contains("x-trace has the rule own"), "{text}");
    pasted(&lab, &here)?;
    effects.into_inner().finish()
}

/// The lines come from wherever the command came: a file, or what is pasted into a session.
fn pasted(lab: &Lab, message: &[String]) -> Result<()> {
    let script = format!("{VTRI}\n{}\n.\nAS_CLI/ASDiagnostic/Diag> status\n", message.join("\n"));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("commands");
    std::fs::write(&file, &script)?;
    let nested = folder.path().join("nested");
    std::fs::write(&nested, format!("read {}\n", file.display()))?;
    for (what, arguments, input) in [
        ("a file", vec!["-f".to_owned(), file.display().to_string()], ""),
        ("a file that another one reads", vec!["-f".to_owned(), nested.display().to_string()], ""),
        ("a session", vec!["-q".to_owned()], script.as_str()),
    ] {
        let mut process = Command::new(binary("adpcli"))
            .arg("--data-dir")
            .arg(&lab.data_dir)
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        process.stdin.take().context("its input")?.write_all(input.as_bytes())?;
        let output = process.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{what}: {text} {}", String::from_utf8_lossy(&output.stderr));
        ensure!(text.contains("result = rings") && text.contains("registrations = "), "{what}: {text}");
    }
    // Without its end it is refused, and nothing of it is taken for a command.
    let cut = lab.adpcli(&[VTRI, "INVITE sip:a@b SIP/2.0", "status"])?;
    let text = String::from_utf8_lossy(&cut.stdout).into_owned();
    ensure!(cut.status.code() == Some(2) && text.contains("message has no end"), "{text}");
    ensure!(!text.contains("registrations"), "{text}");
    let none = lab.adpcli(&[VTRI, "hello", "."])?;
    let text = String::from_utf8_lossy(&none.stdout).into_owned();
    ensure!(!none.status.success() && text.contains("begins no SIP message"), "{text}");
    Ok(())
}
