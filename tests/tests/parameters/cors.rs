//! `ADP_CLI/Applications/WebContainer/Tomcat/CORS`: web pages of other origins, as a browser asks for them.

use anyhow::{Result, ensure};
use openadp_suite::{Curl, Effects, Lab, Response};

const CORS: &str = "ADP_CLI/Applications/WebContainer/Tomcat/CORS";
const ORIGIN: &str = "https://portal.lab.example";

#[test]
fn pages_of_other_origins() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/cors.rs::pages_of_other_origins");
    let alice = lab.subscriber(0);
    let profile = lab.user_url(&alice, "profile");
    let token = format!("{}/token?key=AAAA", lab.text("auth_service"));
    let allowed = |answer: &Response| answer.header("access-control-allow-origin").map(str::to_owned);
    let get = |origin: &str, url: &str| lab.curl(&alice).header(&format!("Origin: {origin}")).get(url);
    let preflight = |origin: &str, url: &str| {
        let curl = Curl::new(lab.ca()).header(&format!("Origin: {origin}"));
        let curl = curl
            .header("Access-Control-Request-Method: PUT")
            .header("Access-Control-Request-Headers: authorization");
        curl.args(["-X", "OPTIONS"]).get(url)
    };
    let look = || -> Result<(Option<String>, u16)> {
        let answer = get(ORIGIN, &profile)?.expect_status(200)?;
        Ok((allowed(&answer), preflight(ORIGIN, &profile)?.status))
    };
    let before = look()?;
    ensure!(before.0.is_none() && before.1 != 204, "nobody at first: {before:?}");
    let add = format!("add {ORIGIN}");
    effects.see_rows(
        CORS,
        &["origin"],
        (&add, &format!("delete {ORIGIN}")),
        (before, (Some(ORIGIN.to_owned()), 204)),
        look,
    )?;
    effects.run(CORS, &add)?;
    let asked = preflight(ORIGIN, &profile)?;
    ensure!(
        asked.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT")),
        "{asked:?}"
    );
    ensure!(
        asked.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization")),
        "{asked:?}"
    );
    // Refusals can be read too; other origins and the AuthenticationService, which has a list of its own, are as before.
    let refused =
        Curl::new(lab.ca()).header(&format!("Origin: {ORIGIN}")).get(&profile)?.expect_status(401)?;
    ensure!(allowed(&refused).as_deref() == Some(ORIGIN), "{refused:?}");
    for other in ["https://portal.lab.example.invalid", "null", "http://portal.lab.example"] {
        let answer = get(other, &profile)?.expect_status(200)?;
        ensure!(
            allowed(&answer).is_none() && preflight(other, &profile)?.status != 204,
            "{other}: {answer:?}"
        );
    }
    ensure!(
        allowed(&get(ORIGIN, &token)?).is_none() && preflight(ORIGIN, &token)?.status == 403,
        "its own list"
    );
    let none = lab.curl(&alice).get(&profile)?;
    ensure!(allowed(&none).is_none(), "without an origin: {none:?}");
    for bad in ["https://*.lab.example", "https://portal.lab.example/", "https://Portal.lab.example"] {
        let output = lab.adpcli(&[&format!("{CORS}> add {bad}")])?;
        ensure!(!output.status.success(), "{bad}");
    }
    effects.finish()
}
