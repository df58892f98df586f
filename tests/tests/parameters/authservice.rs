//! `ADP_CLI/Applications/AuthenticationService`.

use crate::{from_source, retry_after, sql};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_suite::{Curl, Effects, Lab};
use std::process::Command;

const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";
const FAILURES: &str = "ADP_CLI/Applications/AuthenticationService/FailureLimits";

#[test]
fn tokens() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/authservice.rs::tokens");
    let (alice, url) = (lab.subscriber(0), format!("{}/token", lab.text("auth_service")));
    let status = || lab.curl(&alice).get(&url).map(|answer| answer.status);
    effects.see(TOKENS, "allowUnwrappedToken", "true", (400, 200), status)?;

    effects.run(TOKENS, "set allowUnwrappedToken true")?;
    let token = || -> Result<String> {
        let answer = lab.curl(&alice).get(&url)?.expect_status(200)?;
        let token = answer.text_of("token").unwrap_or(&answer.body).trim().to_owned();
        ensure!(token.split('.').count() == 3, "no signed token: {answer:?}");
        Ok(token)
    };
    let claims = || -> Result<serde_json::Value> {
        let token = token()?;
        let payload = token.split('.').nth(1).context("no payload")?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
    };
    let issuer = || Ok(claims()?["iss"].as_str().unwrap_or_default().to_owned());
    effects.see(
        TOKENS,
        "tokenIssuer",
        "Elsewhere",
        ("BroadWorks".to_owned(), "Elsewhere".to_owned()),
        issuer,
    )?;
    let hours = || {
        let claims = claims()?;
        Ok((claims["exp"].as_i64().context("exp")? - claims["iat"].as_i64().context("iat")?) / 3600)
    };
    effects.see(TOKENS, "tokenDurationInHours", "5", (720, 5), hours)?;
    // Tokens of a former issuer are nobody's.
    let former = token()?;
    let profile = lab.user_url(&alice, "profile");
    let by_token = || Curl::new(lab.ca()).bearer(&former).get(&profile).map(|answer| answer.status);
    effects.see(TOKENS, "tokenIssuer", "Elsewhere", (200, 401), by_token)?;
    effects.finish()
}

/// The public half of a fresh key pair, as `key=` takes it.
fn client_key() -> Result<String> {
    let script = "openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -outform DER | openssl base64 -A | tr '+/' '-_' | tr -d =";
    let output = Command::new("sh").args(["-c", script]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn failures() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/authservice.rs::failures");
    let url = format!("{}/token?key={}", lab.text("auth_service"), client_key()?);
    let attempt =
        |user: &str, source: u8| from_source(&Curl::new(lab.ca()).basic(user, "wrong"), source).get(&url);
    // How many wrong passwords are taken before the first that is not, and how long that one has to wait.
    let taken = |same_user: bool, source: u8| -> Result<(usize, u64)> {
        for count in 0..200 {
            let user =
                if same_user { "guessed@lab.example".to_owned() } else { format!("user{count}@lab.example") };
            let answer = attempt(&user, source)?;
            if answer.status == 429 {
                return Ok((count, retry_after(&answer)?));
            }
            answer.expect_status(401)?;
        }
        anyhow::bail!("two hundred guesses were taken")
    };
    let (count, wait) = taken(true, 10)?;
    ensure!(count == 5 && wait > 60, "{count} failures of one user, then a wait of {wait} seconds");
    effects.with(FAILURES, &["failuresPerUserAndSource"], "set failuresPerUserAndSource 2", || {
        let (count, _) = taken(true, 11)?;
        ensure!(count == 2, "{count} failures of one user");
        Ok(())
    })?;
    effects.with(FAILURES, &["failureWindowInMinutes"], "set failureWindowInMinutes 1", || {
        let (_, wait) = taken(true, 12)?;
        ensure!(wait <= 60, "a wait of {wait} seconds");
        Ok(())
    })?;
    effects.with(FAILURES, &["failureBurstPerSource"], "set failureBurstPerSource 3", || {
        let (count, wait) = taken(false, 13)?;
        ensure!(count == 3 && wait < 10, "{count} failures of a source, then a wait of {wait} seconds");
        Ok(())
    })?;
    effects.with(FAILURES, &["failuresPerMinutePerSource"], "set failuresPerMinutePerSource 1", || {
        let (count, wait) = taken(false, 14)?;
        ensure!(count == 3 && wait > 30, "{count} failures of a source, then a wait of {wait} seconds");
        Ok(())
    })?;
    effects.finish()
}

const LIMITS: &str = "ADP_CLI/Applications/AuthenticationService/TokenLimits";
const ORIGINS: &str = "ADP_CLI/Applications/AuthenticationService/AllowedOrigins";
const EXEMPT: &str = "ADP_CLI/Applications/AuthenticationService/FailureLimits/ExemptSources";
const KEYS: &str = "ADP_CLI/Applications/AuthenticationService/KeyManagement";
const PASSWORDS: &str = "AS_CLI/System/PasswordRules";

#[test]
fn who_gets_tokens() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/authservice.rs::who_gets_tokens");
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    effects.run(TOKENS, "set allowUnwrappedToken true")?;
    let url = format!("{}/token", lab.text("auth_service"));
    let page = || {
        let asked = lab.curl(&alice).header("Origin: https://portal.lab.invalid").get(&url)?;
        Ok(asked.header("Access-Control-Allow-Origin").map(str::to_owned))
    };
    let origin = "https://portal.lab.invalid";
    effects.see_rows(
        ORIGINS,
        &["origin"],
        (&format!("add {origin}"), &format!("delete {origin}")),
        (None, Some(origin.to_owned())),
        page,
    )?;
    effects.with(LIMITS, &["tokensPerMinutePerUser"], "set tokensPerMinutePerUser 1", || {
        let statuses: Vec<u16> =
            (0..3).map(|_| lab.curl(&bo).get(&url).map(|answer| answer.status)).collect::<Result<_>>()?;
        ensure!(statuses.contains(&429) || statuses.contains(&503), "{statuses:?}");
        Ok(())
    })?;
    effects.run(LIMITS, "clear tokensPerMinutePerUser")?;

    // Many users of one source: a proxy in front of them is not counted as one that guesses.
    effects.run(FAILURES, "set failureBurstPerSource 3")?;
    let guessed = |source: u8| -> Result<bool> {
        let mut told = false;
        for count in 0..5 {
            let wrong = Curl::new(lab.ca()).basic(&format!("user{source}{count}@lab.example"), "wrong");
            told |= from_source(&wrong, source).get(&format!("{url}?key={}", client_key()?))?.status == 429;
        }
        Ok(told)
    };
    ensure!(guessed(40)?, "three are taken of any source");
    effects.with(EXEMPT, &["network", "description"], "add 127.0.0.41/32 description \"A proxy\"", || {
        ensure!(!guessed(41)? && guessed(42)?, "all are taken of that one");
        let listed = lab.administer(&[&format!("{EXEMPT}> get")])?;
        ensure!(listed.contains("A proxy"), "{listed}");
        Ok(())
    })?;

    // A password that is over in an hour, and one that is over.
    let lifetime = || -> Result<i64> {
        let token = lab.curl(&alice).get(&url)?.expect_status(200)?;
        let token = token.text_of("token").unwrap_or(&token.body).trim().to_owned();
        let payload = token.split('.').nth(1).context("no payload")?;
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
        Ok((claims["exp"].as_i64().context("exp")? - claims["iat"].as_i64().context("iat")?) / 3600)
    };
    let expires = |hours: i64| {
        let user = &alice.user_id;
        sql(
            &lab,
            &format!(
                "UPDATE credentials SET expires_at = (unixepoch() + {hours} * 3600) * 1000 WHERE user_id = '{user}'"
            ),
        )
    };
    expires(2)?;
    effects.see(TOKENS, "capTokenAtPasswordExpiry", "true", (true, false), || Ok(lifetime()? > 2))?;
    expires(-1)?;
    let enters = || lab.curl(&alice).get(&lab.user_url(&alice, "profile")).map(|answer| answer.status == 200);
    effects.see(PASSWORDS, "enforcePasswordChangeOnExpiry", "true", (true, false), enters)?;
    let made = || -> Result<bool> {
        lab.administer(&[&format!("{KEYS}> generateKey")])?;
        Ok(lab.administer(&[&format!("{KEYS}> get")])?.contains("ES256"))
    };
    ensure!(!made()?, "RSA is what is made otherwise");
    effects.with(&format!("{KEYS}/Rotation"), &["keyType"], "set keyType P-256", || {
        ensure!(made()?, "a key on P-256");
        Ok(())
    })?;
    effects.finish()
}
