//! Tokens issued a second on one core, beside `openssl speed` RSA-2048 signs on the same core.

use anyhow::{Context as _, Result};
use openadp_benches::{SERVER_CORE, basic, median, pinned_lab, report, runs, wrk};
use std::process::Command;

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    let alice = lab.subscriber(0);
    let key = client_key()?;
    let url = format!("{}/token?key={key}", lab.text("auth_service"));
    let headers = [basic(&alice.user_id, &alice.password)];
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        ours.push(wrk(&url, &headers, 8)?);
        reference.push(openssl_signs()?);
    }
    let (ours, reference) = (median(&ours), median(&reference));
    report(&format!(
        "tokens: {ours:.0} tokens/s, openssl speed {reference:.0} RSA-2048 signs/s, ratio {:.2}",
        ours / reference
    ));
    Ok(())
}

fn client_key() -> Result<String> {
    let script = "openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -outform DER | openssl base64 -A | tr '+/' '-_' | tr -d =";
    let output = Command::new("sh").args(["-c", script]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn openssl_signs() -> Result<f64> {
    let output = Command::new("taskset")
        .args(["-c", SERVER_CORE, "openssl", "speed", "-seconds", "3", "-mr", "rsa2048"])
        .output()
        .context("running openssl speed")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "+F2:2:2048:<signs a second>:<verifications a second>"
    let signs: f64 = text
        .lines()
        .find_map(|line| line.strip_prefix("+F2:")?.split(':').nth(2)?.parse().ok())
        .with_context(|| format!("no figure in {text}"))?;
    // Before 3.0 the figure was the seconds one sign takes.
    Ok(if signs < 1.0 { 1.0 / signs } else { signs })
}
