//! Tokens at twice the rate that one core can sustain, sent by the clock whether answers come or not: how many are still made,
//! and how soon the others are told to come back.

use anyhow::Result;
use openadp_benches::{
    CLIENT_CORE, basic, client_key, median, paced, percentile, pin, pinned_lab, report, runs, wrk_latency,
};
use std::time::Duration;

/// More than the service works on at once, as a cluster's clients are: the excess is really offered.
const CONNECTIONS: u32 = 1024;
const SECONDS: u32 = 8;

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 0",
    ])?;
    let alice = lab.subscriber(0);
    let key = client_key()?;
    let url = format!("{}/token?key={key}", lab.text("auth_service"));
    let authorization = basic(&alice.user_id, &alice.password);
    let request =
        format!("GET /authService/token?key={key} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n\r\n");
    pin(CLIENT_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut peaks, mut goodputs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut told, mut slowest, mut late) = (0, Vec::new(), 0);
    let mut slowest_good = Vec::new();
    for _ in 0..runs() {
        let (peak, _) = wrk_latency(&url, std::slice::from_ref(&authorization), 32, None)?;
        let time = Duration::from_secs(SECONDS.into());
        let flood = paced(&lab, std::slice::from_ref(&request), CONNECTIONS, peak * 2.0, time);
        let tally = runtime.block_on(flood)?;
        let goodput = f64::from(u32::try_from(tally.good_ms.len())?) / f64::from(SECONDS);
        peaks.push(peak);
        goodputs.push(goodput);
        ratios.push(goodput / peak);
        told += tally.told_ms.len();
        slowest.push(percentile(&tally.told_ms, 0.99));
        slowest_good.push(percentile(&tally.good_ms, 0.99));
        late += tally.late;
    }
    report(&format!(
        "overload: peak {:.0}/s; at twice that {:.0}/s are made, p99 {:.1} ms, ratio {:.2} (aim 0.9); {told} told to come back, p99 {:.1} ms (aim 50); {late} not sent in time",
        median(&peaks),
        median(&goodputs),
        median(&slowest_good),
        median(&ratios),
        median(&slowest),
    ));
    Ok(())
}
