//! Tokens for users of an identity cloud, each access token checked there: at half of the rate that one core can sustain, sent
//! by the clock, beside tokens for Basic credentials at the same rate. The stand-in of the cloud shares the server's core.

use anyhow::{Context as _, Result, ensure};
use openadp_benches::{
    CLIENT_CORE, basic, client_key, median, paced, percentile, pin, pinned_lab, report, runs, wrk_latency,
};
use openadp_suite::{Curl, Lab};
use std::time::Duration;

const CONNECTIONS: u32 = 64;
/// Access tokens: one for each connection, so that no two requests are about one and share its check.
const TOKENS: u32 = CONNECTIONS;
const TIME: Duration = Duration::from_secs(8);
const AIM_MS: f64 = 20.0;

fn access_token(lab: &Lab, user: &str) -> Result<String> {
    let url = lab.description["identity_cloud"]["tokens"].as_str().context("an identity cloud")?;
    let form = format!("user={}", user.replace('@', "%40"));
    let answer = Curl::new(lab.ca()).body(form).post(url)?.expect_status(200)?;
    let given: serde_json::Value = serde_json::from_str(&answer.body)?;
    Ok(given["access_token"].as_str().context("an access token")?.to_owned())
}

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 0",
        "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits> set positiveCacheInSeconds 0",
    ])?;
    let alice = lab.subscriber(0);
    let key = client_key()?;
    let url = format!("{}/token?key={key}", lab.text("auth_service"));
    let request = |authorization: &str| {
        format!("GET /authService/token?key={key} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n\r\n")
    };
    let tokens: Vec<String> =
        (0..TOKENS).map(|_| access_token(&lab, &alice.user_id)).collect::<Result<_>>()?;
    let quoted: Vec<String> = tokens.iter().map(|token| format!("'Bearer {token}'")).collect();
    let script = format!(
        "local all, at = {{ {} }}, 0\nrequest = function()\n  at = at % #all + 1\n  wrk.headers['Authorization'] = all[at]\n  return wrk.format()\nend\n",
        quoted.join(", ")
    );
    let with_ci: Vec<String> =
        tokens.iter().map(|token| request(&format!("Authorization: Bearer {token}"))).collect();
    let with_password = [request(&basic(&alice.user_id, &alice.password))];

    pin(CLIENT_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut peaks, mut checked, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        let (peak, _) = wrk_latency(&url, &[], 32, Some(&script))?;
        peaks.push(peak);
        for (requests, times) in [(with_ci.as_slice(), &mut checked), (&with_password, &mut plain)] {
            let tally = runtime.block_on(paced(&lab, requests, CONNECTIONS, peak / 2.0, TIME))?;
            ensure!(tally.told_ms.is_empty(), "{} were refused at half load", tally.told_ms.len());
            times.push(percentile(&tally.good_ms, 0.99));
        }
    }
    let (checked, plain) = (median(&checked), median(&plain));
    report(&format!(
        "ci: peak {:.0}/s; at half of it p99 {checked:.1} ms (aim below {AIM_MS} ms, ratio {:.2}); with a password p99 {plain:.1} ms, ratio {:.2}",
        median(&peaks),
        checked / AIM_MS,
        checked / plain
    ));
    Ok(())
}
