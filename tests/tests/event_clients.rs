//! What operators see of event clients: their channels, sets and subscriptions, calls, and events as they happen.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Lab, PATIENCE, Running, Screen, binary};
use std::process::Command;
use std::time::Instant;

const CHANNELS: &str = "ADP_CLI/Applications/Xsi-Events/Channels>";
const SETS: &str = "ADP_CLI/Applications/Xsi-Events/ChannelSets>";
const SUBSCRIPTIONS: &str = "ADP_CLI/Applications/Xsi-Events/Subscriptions>";
const CALLS: &str = "AS_CLI/System/Calls>";

/// The cells of the row that begins so.
fn row<'a>(table: &'a str, begins: &str) -> Result<Vec<&'a str>> {
    let line = table.lines().find(|line| line.trim_start().starts_with(begins));
    Ok(line.with_context(|| format!("no row {begins} in:\n{table}"))?.split_whitespace().collect())
}

#[test]
fn channels_and_subscriptions_are_listed_and_ended() -> Result<()> {
    let lab = Lab::start()?;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let channel = lab.channel(&alice, "watched-set")?;
    let others = lab.channel(&bo, "other-set")?;
    channel.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "watched-set")?;
    channel.wait_for("DoNotDisturbEvent")?;

    let listed = lab.administer(&[&format!("{CHANNELS} get {}", alice.user_id)])?;
    let cells = row(&listed, &alice.user_id)?;
    ensure!(cells.get(1) == Some(&"watched-set") && listed.contains("1 entry found."), "{listed}");
    let id = (*cells.get(2).context("no id")?).to_owned();
    let all = lab.administer(&[&format!("{CHANNELS} get")])?;
    ensure!(all.contains(&bo.user_id) && all.contains("2 entries found."), "{all}");
    let sets = lab.administer(&[&format!("{SETS} get {}", alice.user_id)])?;
    ensure!(row(&sets, &alice.user_id)?.get(1..) == Some(&["watched-set", "1", "1"]), "{sets}");

    let subscriptions = lab.administer(&[&format!("{SUBSCRIPTIONS} get {}", alice.user_id)])?;
    ensure!(
        subscriptions.contains("Do Not Disturb") && subscriptions.contains("1 entry found."),
        "{subscriptions}"
    );
    let subscription = row(&subscriptions, &alice.user_id)?
        .into_iter()
        .find(|cell| cell.len() == 36 && cell.matches('-').count() == 4)
        .context("no id")?
        .to_owned();
    lab.administer(&[&format!("{SUBSCRIPTIONS} terminate {subscription}")])?;
    channel.wait_for("SubscriptionTerminatedEvent")?;
    let again = lab.adpcli(&[&format!("{SUBSCRIPTIONS} terminate {subscription}")])?;
    ensure!(String::from_utf8_lossy(&again.stdout).contains("Entry not found"), "{again:?}");

    lab.administer(&[&format!("{CHANNELS} terminate {id}")])?;
    let documents = channel.until_end()?;
    let last = documents.last().context("nothing")?;
    ensure!(last.0.contains("xsi:ChannelTerminatedEvent"), "{last:?}");
    ensure!(last.text_of("xsi:reason") == Some("ExplicitDelete"), "{last:?}");
    // Nobody else noticed.
    others.heartbeat()?;
    let left = lab.administer(&[&format!("{CHANNELS} get")])?;
    ensure!(left.contains(&bo.user_id) && left.contains("1 entry found."), "{left}");
    Ok(())
}

#[test]
fn events_are_watched_as_they_happen() -> Result<()> {
    let lab = Lab::start()?;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let watch = |format: &str, what: &str| -> Result<Running> {
        let mut command = Command::new(binary("adpcli"));
        command.arg("--data-dir").arg(&lab.data_dir).args(["-o", format, "-c", &format!("watch {what}")]);
        Running::start(command)
    };
    let slip = lab.adpcli(&["watch user/nobody@lab.example"])?;
    ensure!(
        !slip.status.success() && String::from_utf8_lossy(&slip.stdout).contains("not found"),
        "{slip:?}"
    );

    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(&lab.data_dir).env("TERM", "xterm");
    let mut screen = Screen::start(command)?;
    screen.prompt()?;
    screen.keys(&format!("watch user/{}\r", bo.user_id))?;
    let mut objects = watch("json", &format!("group/{}/harbour 3", alice.enterprise))?;

    // Whoever watches began somewhere; it sees one of the calls from its first event on.
    let curl = lab.curl(&alice);
    let dial = || -> Result<String> {
        let url = lab.user_url(&alice, &format!("calls/new?address={}", bo.extension));
        let call = curl.post(&url)?.expect_status(201)?;
        Ok(call.text_of("callId").context("no id")?.to_owned())
    };
    let call = dial()?;
    let running = lab.administer(&[&format!("{CALLS} get")])?;
    ensure!(row(&running, &alice.user_id)?.contains(&call.as_str()), "{running}");
    lab.administer(&[&format!("{CALLS} release {} {call}", alice.user_id)])?;
    ensure!(lab.administer(&[&format!("{CALLS} get")])?.contains("0 entry found."));
    let deadline = Instant::now() + PATIENCE;
    while !objects.log().contains("\"event\"") {
        ensure!(Instant::now() < deadline, "{}", objects.log());
        let call = dial()?;
        lab.administer(&[&format!("{CALLS} release {} {call}", alice.user_id)])?;
    }
    screen.until(&format!("{}  CallReceivedEvent", bo.user_id))?;
    screen.until("CallReleasedEvent")?;
    screen.keys("x")?;
    screen.prompt()?;

    for _ in 0..3 {
        let call = dial()?;
        lab.administer(&[&format!("{CALLS} release {} {call}", alice.user_id)])?;
    }
    ensure!(objects.wait()?.success());
    let log = objects.log();
    let lines: Vec<serde_json::Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    ensure!(lines.len() == 3 && lines.iter().all(|line| line["userId"].is_string()), "{log}");
    Ok(())
}
