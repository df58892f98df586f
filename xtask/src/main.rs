//! Checks of this repository that a compiler does not make.
//!
//! `cargo xtask check-layers` holds the arrows of the architecture: it compares what each crate imports with the table
//! below. A new arrow means editing the table in the same change, where a reviewer sees it.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each of our crates may import of ours, tests of its own excepted. Lowest layer first.
const LAYERS: &[(&str, &[&str])] = &[
    // floor: these know nothing of ours
    ("alarms", &[]),
    ("settings", &[]),
    ("xsi-schema", &[]),
    ("appserver", &[]),
    ("wake", &[]),
    // security
    ("keystore", &["settings"]),
    ("tls", &["alarms", "settings"]),
    ("token", &["keystore", "settings"]),
    // the application server's adapters
    ("appserver-embedded", &["appserver", "settings", "wake"]),
    // protocol without transport
    ("xsi-api", &["alarms", "appserver", "settings", "xsi-schema"]),
    // edges
    ("outgoing", &["settings"]),
    ("identity", &["alarms", "appserver", "outgoing", "settings", "tls"]),
    ("listener", &["alarms", "settings", "tls"]),
    (
        "webcontainer",
        &["alarms", "appserver", "keystore", "listener", "outgoing", "settings", "tls", "token"],
    ),
    // applications: never one another, never SQL or a broker
    (
        "authservice",
        &[
            "alarms",
            "appserver",
            "identity",
            "keystore",
            "outgoing",
            "settings",
            "tls",
            "token",
            "webcontainer",
        ],
    ),
    ("xsi", &["appserver", "outgoing", "settings", "webcontainer", "xsi-api", "xsi-schema"]),
    // cti is no HTTP application; it shares the container's one authenticator
    ("cti", &["appserver", "listener", "settings", "webcontainer", "xsi-api", "xsi-schema"]),
    ("dms", &["alarms", "appserver", "identity", "outgoing", "settings", "tls", "webcontainer"]),
    ("nps", &["alarms", "appserver", "identity", "outgoing", "settings", "tls", "webcontainer"]),
    // stand-ins of the outside world; how they use hyper, they share with the client
    ("standins", &["outgoing"]),
    // assembly
    (
        "daemon",
        &[
            "alarms",
            "appserver",
            "appserver-embedded",
            "keystore",
            "listener",
            "outgoing",
            "settings",
            "tls",
            "token",
            "wake",
            "webcontainer",
        ],
    ),
    // top
    (
        "cli",
        &[
            "alarms",
            "appserver",
            "appserver-embedded",
            "authservice",
            "cti",
            "daemon",
            "dms",
            "identity",
            "keystore",
            "listener",
            "nps",
            "outgoing",
            "settings",
            "tls",
            "token",
            "webcontainer",
            "xsi",
            "xsi-api",
        ],
    ),
    (
        "adp",
        &[
            "alarms",
            "appserver",
            "appserver-embedded",
            "authservice",
            "cti",
            "daemon",
            "dms",
            "identity",
            "keystore",
            "listener",
            "nps",
            "outgoing",
            "settings",
            "standins",
            "tls",
            "token",
            "wake",
            "webcontainer",
            "xsi",
            "xsi-api",
        ],
    ),
];

/// Applications: their libraries never import `daemon`, only their binaries do (an optional dependency named below).
const APPLICATIONS: &[&str] = &["authservice", "cti", "dms", "nps", "xsi"];

/// Crates from outside that only these of ours may import.
const RESERVED: &[(&str, &[&str])] = &[
    ("sqlx", &["appserver-embedded"]),
    ("async-nats", &[]),
    ("axum", &["authservice", "daemon", "dms", "nps", "webcontainer", "xsi"]),
    // daemon: deployment descriptors of installed archives
    ("quick-xml", &["cti", "daemon", "xsi-schema"]),
    ("rcgen", &["tls"]),
    ("rsa", &[]),
];

/// Words that no file below an application's `service/` may contain: rules know ports, not transports.
const SERVICE_WORDS: &[&str] = &["axum", "hyper", "quick_xml"];

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("check-layers") => check_layers(),
        _ => bail!("usage: cargo xtask check-layers"),
    }
}

fn check_layers() -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        LAYERS.iter().map(|(name, imports)| (*name, imports.iter().copied().collect())).collect();
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();

    for package in metadata["packages"].as_array().context("packages")? {
        let Some(name) = package["name"].as_str().and_then(|n| n.strip_prefix("openadp-")) else { continue };
        if matches!(name, "suite" | "benches") {
            continue; // tests and benchmarks may import anything
        }
        let Some(imports) = allowed.get(name) else {
            faults.push(format!("{name} has no row in the table of layers"));
            continue;
        };
        seen.insert(name);
        for dependency in package["dependencies"].as_array().context("dependencies")? {
            if !dependency["kind"].is_null() {
                continue; // build and test dependencies
            }
            let import = dependency["name"].as_str().unwrap_or_default();
            if let Some(ours) = import.strip_prefix("openadp-") {
                let optional_daemon = ours == "daemon"
                    && APPLICATIONS.contains(&name)
                    && dependency["optional"].as_bool() == Some(true);
                if !imports.contains(ours) && !optional_daemon {
                    faults.push(format!("{name} imports {ours}, which its layer does not allow"));
                }
            } else if let Some((_, holders)) = RESERVED.iter().find(|(reserved, _)| *reserved == import)
                && !holders.contains(&name)
            {
                faults.push(format!("{name} imports {import}, which is reserved to {holders:?}"));
            }
        }
        faults.extend(service_faults(name)?);
    }
    for (name, _) in LAYERS {
        if !seen.contains(name) {
            faults.push(format!("the table of layers names {name}, which does not exist"));
        }
    }
    if faults.is_empty() {
        report(&format!("layers hold: {} crates", seen.len()));
        return Ok(());
    }
    bail!("layers broken:\n  {}", faults.join("\n  "))
}

/// Applications' rules (`service/`) and libraries (all but `main.rs`) stay free of what is above or beside them.
fn service_faults(name: &str) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if !APPLICATIONS.contains(&name) {
        return Ok(faults);
    }
    let source = std::path::Path::new("crates").join(name).join("src");
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let in_service = path.components().any(|part| part.as_os_str() == "service");
            for word in SERVICE_WORDS {
                if in_service && text.contains(word) {
                    faults.push(format!("{} names {word}", path.display()));
                }
            }
            if path != source.join("main.rs") && text.contains("openadp_daemon") {
                faults.push(format!("{} imports daemon: only main.rs may", path.display()));
            }
        }
    }
    Ok(faults)
}

#[expect(clippy::print_stdout, reason = "this is what the command prints")]
fn report(line: &str) {
    println!("{line}");
}
