//! `ADP_CLI/Applications/OpenClientServer` and `ADP_CLI/System/NetworkServers`: clients are led to a server of the network, those
//! who may.

use crate::until;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Effects, Lab, PATIENCE};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

const OCI: &str = "ADP_CLI/Applications/OpenClientServer/OCIProxy";
const CAP: &str = "ADP_CLI/Applications/OpenClientServer/CAPProxy";
const OBJECTS: &str = "ADP_CLI/Maintenance/ManagedObjects";
const SERVERS: &str = "ADP_CLI/System/NetworkServers";
const OCI_LIST: &str = "AS_CLI/System/NetworkAccessLists/OCI/Provisioning";
const CTI_LIST: &str = "ADP_CLI/System/NetworkAccessLists/CTI";

/// A server of the network, which answers what it is asked with its name before it.
fn server(name: &'static str) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let answer = [name.as_bytes(), b" ", buffer.get(..count).unwrap_or_default()].concat();
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}

/// A client that is connected and was answered; none where nobody listens, or it is sent away.
fn client(port: u16) -> Result<Option<(TcpStream, String)>> {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return Ok(None) };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 100];
    let asked = stream.write_all(b"hello");
    match asked.and_then(|()| stream.read(&mut buffer)) {
        Ok(0) | Err(_) => Ok(None),
        Ok(count) => {
            let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
            Ok(Some((stream, text)))
        }
    }
}

fn answer(port: u16) -> Result<Option<String>> {
    Ok(client(port)?.map(|(_, text)| text))
}

#[test]
fn clients_are_led_on() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/open_client_server.rs::clients_are_led_on");
    let (one, other) = (server("one")?, server("other")?);
    let (port, moved) = (lab.port_base() + 20, lab.port_base() + 21);
    let from = |name: &str| Some(format!("{name} hello"));
    let becomes = |what: &str, port: u16, wanted: Option<String>| until(what, || Ok(answer(port)? == wanted));

    // Nobody is on the list yet.
    effects.run(SERVERS, &format!("add 127.0.0.1 ociPort {one} capPort {other}"))?;
    effects.run(OCI, &format!("set serverPort {port} enabled true"))?;
    becomes("nobody may", port, None)?;
    effects.with(OCI_LIST, &["address", "description"], "add 127.0.0.1 \"This very machine\"", || {
        let table = lab.administer(&[&format!("{OCI_LIST}> get")])?;
        ensure!(table.contains("This very machine"), "{table}");
        becomes("on the list", port, from("one"))
    })?;
    effects.see(OCI, "enabled", "false", (from("one"), None), || answer(port))?;
    effects.with(OCI, &["serverPort"], &format!("set serverPort {moved}"), || {
        becomes("the other port", moved, from("one"))?;
        becomes("no longer there", port, None)
    })?;
    let set = format!("set 127.0.0.1 ociPort {other}");
    let back = format!("set 127.0.0.1 ociPort {one}");
    effects.see_rows(SERVERS, &["ociPort"], (&set, &back), (from("one"), from("other")), || answer(moved))?;
    effects.with(SERVERS, &["description"], "set 127.0.0.1 description \"The only one\"", || {
        let table = lab.administer(&[&format!("{SERVERS}> get")])?;
        ensure!(table.contains("The only one"), "{table}");
        Ok(())
    })?;
    // The black list is asked too.
    effects.run("ADP_CLI/System/Security/BlackList", "add 127.0.0.1 32 0.0.0.0 1 65535 TCP")?;
    becomes("black-listed", moved, None)?;
    effects.run("ADP_CLI/System/Security/BlackList", "delete 127.0.0.1 32 0.0.0.0 1 65535 TCP")?;
    becomes("no longer", moved, from("one"))?;

    // A locked node takes nobody.
    effects.run(&format!("{OBJECTS}/Lock"), "set healthCheckSeconds 0 finishSeconds 0")?;
    effects.run(OBJECTS, "lock force;y")?;
    becomes("locked", moved, None)?;
    effects.run(OBJECTS, "unlock")?;
    becomes("unlocked", moved, from("one"))?;

    // The older protocol has a list, a port and a limit of its own.
    effects.run(CTI_LIST, "add 127.0.0.1 \"This very machine\"")?;
    effects.with(CAP, &["enabled", "serverPort"], &format!("set serverPort {port} enabled true"), || {
        becomes("led on", port, from("other"))
    })?;
    let set = format!("set 127.0.0.1 capPort {one}");
    let back = format!("set 127.0.0.1 capPort {other}");
    effects.see_rows(SERVERS, &["capPort"], (&set, &back), (from("other"), from("one")), || answer(port))?;
    let both = || -> Result<bool> {
        let Some(first) = client(port)? else { return Ok(false) };
        let second = client(port)?.is_some();
        drop(first);
        Ok(second)
    };
    effects.see(CAP, "numConnections", "2", (false, true), both)?;

    // Without a server there is an alarm, until one answers again.
    let raised = || -> Result<bool> {
        answer(moved)?;
        let table = lab.administer(&["ADP_CLI/Monitoring/Alarm/AlarmsTable> list"])?;
        Ok(table.contains("bwOpenClientServerASConnFailed"))
    };
    effects.run(SERVERS, "delete 127.0.0.1")?;
    until("raised", raised)?;
    let add = format!("add localhost ociPort {one}");
    effects.with(SERVERS, &["address"], &add, || {
        becomes("by name", moved, from("one"))?;
        until("cleared", || Ok(!raised()?))
    })?;
    effects.finish().context("the ledger")
}
