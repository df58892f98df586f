//! Tokens beyond one process: `KeyManagement` of `ADP_CLI/Applications/AuthenticationService`, and hosts that have no ring, or
//! no application server, to ask.

use crate::{metric, until};
use anyhow::{Context as _, Result, ensure};
use openadp_keystore::KeyStore;
use openadp_settings::MachineKey;
use openadp_suite::{Account, Curl, Effects, Lab, Plain, Raw, Response, Running, binary, python};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const KEYS: &str = "ADP_CLI/Applications/AuthenticationService/KeyManagement";
const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";
const SECRET: &str = "ASecretOfTheWholeFarm4711";

/// An installation of its own, with one application in one process on a plain interface.
struct Node {
    lab: Lab,
    port: u16,
}

impl Node {
    fn seed() -> Result<Self> {
        let lab = Lab::seed()?;
        let port = lab.port_base() + 20;
        lab.administer(&[
            &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost false false"),
            &format!("{TOKENS}> set allowUnwrappedToken true"),
        ])?;
        Ok(Self { lab, port })
    }

    fn run(&self, application: &str) -> Result<Running> {
        let mut command = Command::new(binary(application));
        command.arg("--data-dir").arg(&self.lab.data_dir);
        command.args(["--interface", &format!("127.0.0.1:{}", self.port)]);
        let running = Running::start(command)?;
        running.wait_for("ready")?;
        Ok(running)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/authService", self.port)
    }

    fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Result<Response> {
        let mut connection = Raw::connect(self.port)?;
        connection.send(Plain::bytes(method, path, headers, body))?;
        connection.response()
    }

    /// A token, as soon as there is a key.
    fn token(&self, account: &Account) -> Result<String> {
        let mut token = String::new();
        until("a token", || {
            let answer = self.call("GET", "/authService/token", &[&Plain::basic(account)], "")?;
            token.clone_from(&answer.body);
            Ok(answer.status == 200)
        })?;
        Ok(token)
    }

    /// The status of a subscriber's profile by a token.
    fn profile(&self, user: &str, token: &str) -> Result<u16> {
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{user}/profile");
        let answer = self.call("GET", &path, &[&format!("Authorization: Bearer {token}")], "")?;
        Ok(answer.status)
    }

    /// States of the keys that verify, by id.
    fn keys(&self) -> Result<Vec<(String, String)>> {
        let answer = self.call("GET", "/authService/keys", &[], "")?.expect_status(200)?;
        let set: serde_json::Value = serde_json::from_str(&answer.body)?;
        let text = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        Ok(set["keys"]
            .as_array()
            .context("keys")?
            .iter()
            .map(|key| (text(key, "kid"), text(key, "state")))
            .collect())
    }

    fn has(&self, kid: &str) -> Result<bool> {
        Ok(self.keys()?.iter().any(|(known, _)| known == kid))
    }

    /// Makes another key; gives its id.
    fn generate(&self) -> Result<String> {
        let printed = self.lab.administer(&[&format!("{KEYS}> generateKey P-256")])?;
        let kid = printed.split_whitespace().find(|word| word.len() == 43);
        Ok(kid.with_context(|| format!("no key id in {printed}"))?.to_owned())
    }
}

#[test]
fn without_a_ring() -> Result<()> {
    let (service, host) = (Node::seed()?, Node::seed()?);
    let mut effects = Effects::of(&host.lab, "parameters/farm.rs::without_a_ring");
    let (process, _host) = (service.run("authservice")?, host.run("xsi")?);
    let alice = service.lab.subscriber(0);
    let token = service.token(&alice)?;
    let profile = || host.profile(&alice.user_id, &token);
    ensure!(profile()? == 401, "its key is known to nobody here");
    let context = "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/AuthService";
    effects.with(context, &["url"], &format!("set url {}", service.url()), || {
        until("the service is asked", || Ok(profile()? == 200))
    })?;
    drop(process);
    ensure!(profile()? == 200, "it was checked a moment ago");
    effects.with(TOKENS, &["validationCacheInSeconds"], "set validationCacheInSeconds 0", || {
        until("the service is missed", || Ok(profile()? == 503))
    })?;
    effects.finish()
}

#[test]
fn peers() -> Result<()> {
    let (first, second) = (Node::seed()?, Node::seed()?);
    let mut effects = Effects::of(&second.lab, "parameters/farm.rs::peers");
    let (access, peers) = (format!("{KEYS}/PeerAccess"), format!("{KEYS}/Peers"));
    first.lab.administer(&[&format!("{access}> set peerSecret {SECRET}")])?;
    effects.run(&access, &format!("set peerSecret {SECRET} pollPeriodInSeconds 1"))?;
    let (_first, process) = (first.run("authservice")?, second.run("authservice")?);
    first.token(&first.lab.subscriber(0))?;
    let kid = first.keys()?.first().context("a key")?.0.clone();
    ensure!(!second.has(&kid)?, "they do not know of each other");
    effects.with(&peers, &["url"], &format!("add {}", first.url()), || {
        until("the peer's key", || second.has(&kid))
    })?;

    effects.run(&access, "set peerSecret AnotherSecretOfNobody")?;
    let kid = first.generate()?;
    process.wait_for("a peer's keys cannot be taken over")?;
    ensure!(!second.has(&kid)?, "another secret");
    effects.with(&access, &["peerSecret"], &format!("set peerSecret {SECRET}"), || {
        until("the peer's key", || second.has(&kid))
    })?;

    effects.run(&access, "set pollPeriodInSeconds 3600")?;
    let kid = first.generate()?;
    ensure!(!second.has(&kid)?, "it is asked for in an hour");
    effects.with(&access, &["pollPeriodInSeconds"], "set pollPeriodInSeconds 1", || {
        until("the peer's key", || second.has(&kid))
    })?;
    effects.finish()
}

#[test]
fn rotation() -> Result<()> {
    let node = Node::seed()?;
    let mut effects = Effects::of(&node.lab, "parameters/farm.rs::rotation");
    // A ring whose key is a month old.
    let path = node.lab.data_dir.join("settings/machine.key");
    let machine_key = MachineKey::load(&path)?.context("the machine key")?;
    let earlier = || UNIX_EPOCH + UNIX_EPOCH.elapsed().unwrap_or_default() - Duration::from_hours(24 * 30);
    KeyStore::open_with_clock(&node.lab.data_dir, machine_key, Arc::new(move || earlier().into()))?
        .active()?;
    let _process = node.run("authservice")?;
    let states = || -> Result<Vec<String>> {
        let mut states: Vec<String> = node.keys()?.into_iter().map(|(_, state)| state).collect();
        states.sort();
        Ok(states)
    };
    let context = format!("{KEYS}/Rotation");
    effects.run(&context, "set rotationPeriodInDays 365")?;
    ensure!(states()? == ["active"], "{:?}", states()?);
    effects.with(&context, &["rotationPeriodInDays"], "set rotationPeriodInDays 7", || {
        until("another key", || Ok(states()? == ["active", "pending"]))
    })?;
    effects.with(&context, &["publicationInHours"], "set publicationInHours 0", || {
        until("it signs", || Ok(states()? == ["active", "retiring"]))
    })?;
    effects.finish()
}

/// Keeps every process from the application server's store until it is dropped, as one does that recovers it: the index of its
/// log has to be made anew, and somebody else is at it.
struct Recovering(Child);

impl Recovering {
    fn hold(lab: &Lab) -> Result<Self> {
        // Where SQLite locks: https://sqlite.org/walformat.html, 2.3.
        let script = "import fcntl, sys\n\
            index = open(sys.argv[1], 'r+b', buffering=0)\n\
            for lock in (120, 122):\n\
            \x20   fcntl.lockf(index, fcntl.LOCK_EX, 1, lock)\n\
            index.write(bytes(96))\n\
            print('held', flush=True)\n\
            sys.stdin.read()";
        let mut child = Command::new(python()?)
            .args(["-c", script])
            .arg(lab.data_dir.join("appserver/appserver.db-shm"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = [0; 4];
        child.stdout.as_mut().context("its output")?.read_exact(&mut said)?;
        Ok(Self(child))
    }
}

impl Drop for Recovering {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if self.0.wait().is_ok() {}
    }
}

#[test]
fn without_the_application_server() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/farm.rs::without_the_application_server");
    effects.run(TOKENS, "set allowUnwrappedToken true")?;
    let alice = lab.subscriber(0);
    let token =
        lab.curl(&alice).get(&format!("{}/token", lab.text("auth_service")))?.expect_status(200)?.body;
    // Nothing that the application server would be asked for, but for who asks.
    let url = lab.user_url(&alice, "nothing");
    let ask = || Curl::new(lab.ca()).bearer(token.trim()).get(&url).map(|answer| answer.status);
    let taken = || -> Result<bool> {
        until("the user is known", || Ok(ask()? == 404))?;
        let before = metric(&lab, "stale_accounts_total", "")?;
        let _recovering = Recovering::hold(&lab)?;
        loop {
            // Who was asked about less than a second ago is not asked about again.
            let status = ask()?;
            if status == 503 {
                return Ok(false);
            }
            ensure!(status == 404, "{status}");
            if metric(&lab, "stale_accounts_total", "")? > before {
                return Ok(true);
            }
        }
    };
    until("what was known a moment ago counts", taken)?;
    effects.with(TOKENS, &["staleRevocationInMinutes"], "set staleRevocationInMinutes 0", || {
        until("it does not count", || Ok(!taken()?))
    })?;
    effects.with(TOKENS, &["allowStaleRevocation"], "set allowStaleRevocation true", || {
        until("it counts for a plain user", taken)
    })?;
    effects.finish()
}
