//! Long-lived tokens beyond one process: in every form, through the rotation of a farm's keys, validated by another host, and
//! revoked everywhere.

use anyhow::{Context as _, Result, bail, ensure};
use openadp_suite::{
    Account, Effects, Lab, PATIENCE, Plain, Raw, Response, Running, binary, python, repository,
};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KEYS: &str = "ADP_CLI/Applications/AuthenticationService/KeyManagement";

/// An installation of its own, with one application in one process on a plain interface.
struct Node {
    lab: Lab,
    port: u16,
    process: Option<Running>,
}

impl Node {
    fn seed() -> Result<Self> {
        let lab = Lab::seed()?;
        let port = lab.port_base() + 20;
        lab.administer(&[
            &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost false false"),
            "ADP_CLI/Applications/AuthenticationService/TokenManagement> set allowUnwrappedToken true",
            "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 0",
        ])?;
        Ok(Self { lab, port, process: None })
    }

    fn run(&mut self, application: &str) -> Result<()> {
        self.process = Some(serve(&self.lab, application, self.port)?);
        Ok(())
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/authService", self.port)
    }

    fn token(&self, account: &Account) -> Result<Response> {
        call(self.port, "GET", "/authService/token", &[&Plain::basic(account)], "")
    }

    /// A token, as soon as there is a key.
    fn wait_for_token(&self, account: &Account) -> Result<String> {
        let began = Instant::now();
        loop {
            let answer = self.token(account)?;
            match answer.status {
                200 => return Ok(answer.body),
                503 if began.elapsed() < PATIENCE => {
                    ensure!(answer.header("Retry-After").is_some(), "{answer:?}");
                }
                _ => bail!("no token: {answer:?}"),
            }
        }
    }

    fn accepts(&self, token: &str) -> Result<bool> {
        let form = "Content-Type: application/x-www-form-urlencoded";
        let body = format!("token={token}");
        let answer = call(self.port, "POST", "/authService/validate", &[form], &body)?.expect_status(200)?;
        Ok(answer.body.contains("\"active\":true"))
    }

    /// Ids and states of the keys that verify.
    fn keys(&self) -> Result<Vec<(String, String)>> {
        let answer = call(self.port, "GET", "/authService/keys", &[], "")?.expect_status(200)?;
        let set: serde_json::Value = serde_json::from_str(&answer.body)?;
        let text = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let mut keys: Vec<_> = set["keys"]
            .as_array()
            .context("keys")?
            .iter()
            .map(|key| (text(key, "kid"), text(key, "state")))
            .collect();
        keys.sort();
        Ok(keys)
    }
}

/// One application on one interface of a data directory.
fn serve(lab: &Lab, application: &str, port: u16) -> Result<Running> {
    let mut command = Command::new(binary(application));
    command.arg("--data-dir").arg(&lab.data_dir).args(["--interface", &format!("127.0.0.1:{port}")]);
    let running = Running::start(command)?;
    running.wait_for("ready")?;
    Ok(running)
}

fn call(port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> Result<Response> {
    let mut connection = Raw::connect(port)?;
    connection.send(Plain::bytes(method, path, headers, body))?;
    connection.response()
}

fn until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !done()? {
        ensure!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::yield_now();
    }
    Ok(())
}

/// Nodes that know one another.
fn farm(count: usize) -> Result<Vec<Node>> {
    let mut nodes: Vec<Node> = (0..count).map(|_| Node::seed()).collect::<Result<_>>()?;
    let urls: Vec<String> = nodes.iter().map(Node::url).collect();
    for (at, node) in nodes.iter().enumerate() {
        let mut commands = vec![format!(
            "{KEYS}/PeerAccess> set peerSecret ASecretOfTheWholeFarm4711 pollPeriodInSeconds 1"
        )];
        let others = urls.iter().enumerate().filter(|(other, _)| *other != at);
        commands.extend(others.map(|(_, url)| format!("{KEYS}/Peers> add {url}")));
        node.lab.administer(&commands.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    for node in &mut nodes {
        node.run("authservice")?;
    }
    Ok(nodes)
}

#[test]
fn tokens_come_in_every_form_and_anybody_can_check_them() -> Result<()> {
    let lab = Lab::start()?;
    for (at, (kind, algorithm, sizes)) in [
        ("RSA-2048", "RS256", "2048,3072,4096"),
        ("RSA-PSS-2048", "PS256", "2048"),
        ("P-256", "ES256", "2048"),
    ]
    .into_iter()
    .enumerate()
    {
        lab.administer(&[&format!("{KEYS}> rotate {kind}")])?;
        let account = lab.subscriber(at);
        let mut child = Command::new(python()?)
            .arg(repository().join("tests/clients/token_forms.py"))
            .args([lab.text("auth_service"), lab.text("ca"), algorithm, sizes])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let typed = format!("{}\n{}\n", account.user_id, account.password);
        child.stdin.take().context("standard input")?.write_all(typed.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{algorithm}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = format!("{} tokens", 8 * sizes.split(',').count());
        ensure!(String::from_utf8_lossy(&output.stdout).trim() == expected, "{algorithm}: {output:?}");
    }
    Ok(())
}

#[test]
fn nodes_that_need_the_first_key_at_once_end_with_one_ring() -> Result<()> {
    let nodes = farm(3)?;
    let together = Barrier::new(nodes.len());
    let tokens: Vec<Result<String>> = std::thread::scope(|scope| {
        let asking: Vec<_> = nodes
            .iter()
            .map(|node| {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    node.wait_for_token(&node.lab.subscriber(0))
                })
            })
            .collect();
        asking
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
            .collect()
    });
    let tokens: Vec<String> = tokens.into_iter().collect::<Result<_>>()?;
    let keys: Vec<_> = nodes.iter().map(Node::keys).collect::<Result<_>>()?;
    ensure!(keys[0].len() == 1 && keys.iter().all(|ring| *ring == keys[0]), "different rings: {keys:?}");
    for token in &tokens {
        for node in &nodes {
            ensure!(node.accepts(token)?, "a node refuses a token of another");
        }
    }
    Ok(())
}

#[test]
fn a_farm_rotates_under_load_without_one_refused_token() -> Result<()> {
    let mut nodes = farm(3)?;
    for node in &nodes {
        node.wait_for_token(&node.lab.subscriber(0))?;
    }
    let first = nodes[0].keys()?.first().context("a key")?.0.clone();
    let early = nodes[1].wait_for_token(&nodes[1].lab.subscriber(0))?;
    let (over, checked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let second = std::thread::scope(|scope| -> Result<String> {
        // One client after another: more would only keep the nodes from the processor that they share here.
        let load = scope.spawn(|| -> Result<()> {
            for at in (0..nodes.len()).cycle() {
                if over.load(Ordering::Relaxed) && checked.load(Ordering::Relaxed) > 30 {
                    break;
                }
                let token = nodes[at].token(&nodes[at].lab.subscriber(0))?.expect_status(200)?.body;
                for node in &nodes {
                    ensure!(node.accepts(&token)?, "a token was refused during the rotation");
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        let rotated = rotate(&nodes);
        over.store(true, Ordering::Relaxed);
        load.join().unwrap_or_else(|_| bail!("the load panicked"))?;
        rotated
    })?;
    ensure!(nodes[2].accepts(&early)?, "the former key verifies until its tokens have expired");

    // An emergency: what one node revokes, all do.
    nodes[0].lab.administer(&[&format!("{KEYS}> revokeKey {first}")])?;
    for node in &nodes {
        until("a revoked key", || Ok(!node.accepts(&early)?))?;
        ensure!(node.keys()?.iter().all(|(kid, _)| *kid != first), "the revoked key is still there");
        ensure!(
            node.keys()?.iter().any(|(kid, state)| *kid == second && state == "active"),
            "another key is"
        );
    }

    // A node that cannot be seen to hold a key keeps it from signing, unless that is what is asked for.
    let away = nodes.pop().context("a node")?;
    let url = away.url();
    drop(away);
    let third = generate(&nodes[0], "P-256")?;
    // The other one takes it over; what is left is the one that is away.
    until("a refusal that names who is away", || {
        let refused = nodes[0].lab.adpcli(&[&format!("{KEYS}> promoteKey {third}")])?;
        let text = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success() && text.contains("is not known to hold the key"), "{text}");
        Ok(text.contains(&url))
    })?;
    nodes[0].lab.administer(&[&format!("{KEYS}> promoteKey {third} force true")])?;
    until("the forced key", || Ok(nodes[0].keys()?.contains(&(third.clone(), "active".to_owned()))))
}

fn generate(node: &Node, kind: &str) -> Result<String> {
    let printed = node.lab.administer(&[&format!("{KEYS}> generateKey {kind}")])?;
    let kid = printed.split_whitespace().find(|word| word.len() == 43);
    Ok(kid.with_context(|| format!("no key id in {printed}"))?.to_owned())
}

/// From one key to the next on every node.
fn rotate(nodes: &[Node]) -> Result<String> {
    let kid = generate(&nodes[0], "P-256")?;
    until("promotion", || {
        Ok(nodes[0].lab.adpcli(&[&format!("{KEYS}> promoteKey {kid}")])?.status.success())
    })?;
    for node in nodes {
        until("the new key everywhere", || Ok(node.keys()?.contains(&(kid.clone(), "active".to_owned()))))?;
    }
    Ok(kid)
}

#[test]
fn a_host_without_a_ring_asks_and_says_503_when_nobody_answers() -> Result<()> {
    let (mut service, mut host) = (Node::seed()?, Node::seed()?);
    service.run("authservice")?;
    host.lab.administer(&[&format!(
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/AuthService> set url {}",
        service.url()
    )])?;
    host.run("xsi")?;
    let alice = service.lab.subscriber(0);
    let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id);
    let ask = |token: &str| call(host.port, "GET", &path, &[&format!("Authorization: Bearer {token}")], "");
    let (token, later) = (service.wait_for_token(&alice)?, service.wait_for_token(&alice)?);
    ask(&token)?.expect_status(200)?;
    let (signed, signature) = token.rsplit_once('.').context("a signature")?;
    let altered = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for bad in [altered.as_str(), "a.b.c", "x", &format!("{token}%26token=x")] {
        ask(bad)?.expect_status(401)?;
    }
    drop(service.process.take());
    let down = ask(&later)?.expect_status(503)?;
    ensure!(down.header("Retry-After").is_some() && down.header("WWW-Authenticate").is_none(), "{down:?}");
    ask(&token)?.expect_status(200)?;
    Ok(())
}

#[test]
fn a_host_without_a_ring_asks_where_its_container_option_says() -> Result<()> {
    const OPTIONS: &str = "ADP_CLI/Maintenance/ContainerOptions";
    let (mut service, mut host) = (Node::seed()?, Node::seed()?);
    service.run("authservice")?;
    host.lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/TokenManagement> set validationCacheInSeconds 0",
    ])?;
    host.run("xsi")?;
    let mut effects =
        Effects::of(&host.lab, "tokens.rs::a_host_without_a_ring_asks_where_its_container_option_says");
    let alice = service.lab.subscriber(0);
    let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id);
    let token = service.wait_for_token(&alice)?;
    let served = || -> Result<bool> {
        let answer = call(host.port, "GET", &path, &[&format!("Authorization: Bearer {token}")], "")?;
        ensure!(matches!(answer.status, 200 | 401), "{answer:?}");
        Ok(answer.status == 200)
    };
    let option = |container: &str, name: &str, value: &str| {
        host.lab.administer(&[&format!("{OPTIONS}> add {container} {name} {value}")])
    };
    let url = service.url();
    // Those that nothing reads say so.
    for (container, name, remark) in [
        ("execution", "bw.authservice.authServiceUrl", "it is one of the container tomcat"),
        ("tomcat", "bw.apache.sslenabledprotocols", "Interface/Http/SSLCommonSettings/Protocols"),
        ("provisioning", "bw.imp.useProvisioningUrl", "not used by this build: bw.imp.useProvisioningUrl"),
    ] {
        let printed = option(container, name, &url)?;
        ensure!(printed.contains("not used by this build") && printed.contains(remark), "{printed}");
    }
    ensure!(!served()?, "another container");
    let refused =
        host.lab.adpcli(&[&format!("{OPTIONS}> add tomcat bw.authservice.authServiceUrl nowhere")])?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    effects.see_rows(
        OPTIONS,
        &["container", "name", "value"],
        (
            &format!("add tomcat bw.authservice.authServiceUrl {url}"),
            "delete tomcat bw.authservice.authServiceUrl",
        ),
        (false, true),
        served,
    )?;
    effects.finish()
}

#[test]
fn revoked_tokens_are_void_in_every_process_within_a_second() -> Result<()> {
    let mut service = Node::seed()?;
    let port = service.port + 1;
    service.lab.administer(&[&format!(
        "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost false false"
    )])?;
    service.run("authservice")?;
    let _xsi = serve(&service.lab, "xsi", port)?;
    let (alice, bo) = (service.lab.subscriber(0), service.lab.subscriber(1));
    let profile = |account: &Account, token: &str| -> Result<bool> {
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", account.user_id);
        let answer = call(port, "GET", &path, &[&format!("Authorization: Bearer {token}")], "")?;
        ensure!(matches!(answer.status, 200 | 401), "{answer:?}");
        Ok(answer.status == 200)
    };
    // Tokens carry whole seconds: one of the second of a revocation is void too.
    let fresh = |account: &Account| -> Result<String> {
        let mut token = service.wait_for_token(account)?;
        until("a token after the revocation", || {
            token = service.wait_for_token(account)?;
            Ok(service.accepts(&token)? && profile(account, &token)?)
        })?;
        Ok(token)
    };
    let soon_refused = |what: &str, accepted: &dyn Fn() -> Result<bool>| -> Result<()> {
        let (began, mut last) = (Instant::now(), Duration::ZERO);
        until(what, || {
            let asked = began.elapsed();
            let still = accepted()?;
            if still {
                last = asked;
            }
            Ok(!still)
        })?;
        ensure!(last < Duration::from_secs(1), "{what}: accepted {last:?} after the revocation");
        Ok(())
    };
    let (hers, his) = (fresh(&alice)?, fresh(&bo)?);
    service.lab.administer(&[&format!("AS_CLI/System/LongLivedTokens> revokeTokens {}", alice.user_id)])?;
    soon_refused("her token at Xsi", &|| profile(&alice, &hers))?;
    soon_refused("her token at the service", &|| service.accepts(&hers))?;
    ensure!(profile(&bo, &his)? && service.accepts(&his)?, "another user's tokens are not touched");
    let hers = fresh(&alice)?;
    service.lab.administer(&["AS_CLI/System/LongLivedTokens> revokeAllTokens"])?;
    for (account, token) in [(&alice, &hers), (&bo, &his)] {
        soon_refused("everybody's tokens at Xsi", &|| profile(account, token))?;
        soon_refused("everybody's tokens at the service", &|| service.accepts(token))?;
    }
    fresh(&alice)?;
    let nobody = service.lab.adpcli(&["AS_CLI/System/LongLivedTokens> revokeTokens nobody@lab.example"])?;
    ensure!(!nobody.status.success(), "{nobody:?}");
    Ok(())
}

/// One use among all processes of an installation, however many come at once to whichever of them.
#[test]
fn a_single_use_token_is_taken_once_by_whichever_process() -> Result<()> {
    const AT_ONCE: usize = 8;
    let mut service = Node::seed()?;
    let port = service.port + 1;
    service.lab.administer(&[&format!(
        "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost false false"
    )])?;
    service.run("authservice")?;
    let _xsi = serve(&service.lab, "xsi", port)?;
    let alice = service.lab.subscriber(0);
    service.wait_for_token(&alice)?;
    let user = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id);
    for round in 0..5 {
        let made = call(port, "POST", &format!("{user}/LoginToken"), &[&Plain::basic(&alice)], "")?;
        let made = made.expect_status(200)?;
        let shown = format!("Authorization: BroadWorksSSO {}", made.text_of("token").context("a token")?);
        // Connected before: the requests come together.
        let open: Vec<Raw> = (0..AT_ONCE)
            .map(|at| Raw::connect(if at % 2 == 0 { service.port } else { port }))
            .collect::<Result<_>>()?;
        let together = Barrier::new(AT_ONCE);
        let statuses: Vec<Result<u16>> = std::thread::scope(|scope| {
            let asking: Vec<_> = open
                .into_iter()
                .enumerate()
                .map(|(at, mut connection)| {
                    let path = if at % 2 == 0 { "/authService/token" } else { &user };
                    let (together, bytes) = (&together, Plain::bytes("GET", path, &[&shown], ""));
                    scope.spawn(move || {
                        together.wait();
                        connection.send(bytes)?;
                        Ok(connection.response()?.status)
                    })
                })
                .collect();
            asking
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
                .collect()
        });
        let statuses: Vec<u16> = statuses.into_iter().collect::<Result<_>>()?;
        let (good, refused) = (200, 401);
        ensure!(
            statuses.iter().filter(|status| **status == good).count() == 1
                && statuses.iter().filter(|status| **status == refused).count() == AT_ONCE - 1,
            "round {round}: {statuses:?}"
        );
    }
    Ok(())
}

/// Exported keys are in a JWE that a JOSE library which is not ours opens, and so are the keys in it.
#[test]
fn exported_keys_are_read_by_another_library() -> Result<()> {
    let lab = Lab::seed()?;
    for (at, kind) in ["RSA-2048", "P-256"].into_iter().enumerate() {
        let name = format!("export-{at}.keys");
        let printed = lab.administer(&[
            &format!("{KEYS}> rotate {kind}"),
            &format!("{KEYS}> exportKeys {name} passphrase Correct-Horse-Battery-Staple"),
            &format!("{KEYS}> get"),
        ])?;
        let mut child = Command::new(python()?)
            .arg(repository().join("tests/clients/read_keys.py"))
            .arg(lab.data_dir.join("tmp").join(&name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("standard input")?.write_all(b"Correct-Horse-Battery-Staple\n")?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = String::from_utf8(output.stdout)?;
        ensure!(read.lines().count() == at + 1, "{read}");
        for line in read.lines() {
            let kid = line.split_whitespace().next().unwrap_or_default();
            ensure!(kid.len() == 43 && printed.contains(kid), "{kid} is none of {printed}");
        }
    }
    Ok(())
}
