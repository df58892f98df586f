//! Commands that are none.

use crate::{Report, lab};
use anyhow::{Result, ensure};

const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";

#[test]
fn commands_that_are_none_change_nothing_and_say_what_would() -> Result<()> {
    let (lab, plain) = lab()?;
    let before = lab.administer(&["revisions"])?;
    let long = format!("{TOKENS}> set tokenDurationInHours {}", "9".repeat(100_000));
    let cases: Vec<(&str, String, i32, &str)> = vec![
        ("unknown context", "ADP_CLI/No/Such/Context> get".to_owned(), 2, "Invalid command"),
        ("unknown tree", "XYZ_CLI/Applications> get".to_owned(), 2, "Invalid command"),
        ("unknown command", "frobnicate".to_owned(), 2, "Invalid command"),
        ("command of another context", format!("{TOKENS}> add x"), 2, ""),
        ("unknown parameter", format!("{TOKENS}> set tokenDurationInDays 1"), 2, "tokenDurationInHours"),
        ("no value", format!("{TOKENS}> set tokenDurationInHours"), 2, "tokenDurationInHours"),
        ("value too small", format!("{TOKENS}> set tokenDurationInHours 0"), 1, "tokenDurationInHours"),
        ("value too large", format!("{TOKENS}> set tokenDurationInHours 4321"), 1, "4320"),
        ("negative", format!("{TOKENS}> set tokenDurationInHours -5"), 1, "tokenDurationInHours"),
        ("no number", format!("{TOKENS}> set tokenDurationInHours many"), 1, "tokenDurationInHours"),
        (
            "overflow",
            format!("{TOKENS}> set tokenDurationInHours 99999999999999999999999"),
            1,
            "tokenDurationInHours",
        ),
        ("given twice", format!("{TOKENS}> set tokenDurationInHours 5 tokenDurationInHours 6"), 2, "twice"),
        (
            "one good, one bad",
            format!("{TOKENS}> set tokenDurationInHours 5 noSuchThing 6"),
            2,
            "noSuchThing",
        ),
        ("open quote", format!("{TOKENS}> set tokenDurationInHours \"5"), 2, ""),
        ("control characters", format!("{TOKENS}> set tokenDurationInHours 5\u{7}\u{1b}[31m"), 1, ""),
        ("long", long, 1, ""),
        (
            "no address",
            "ADP_CLI/Interface/Http/HttpServer> add 999.0.0.1 8443 h true false".to_owned(),
            1,
            "interfaceIp",
        ),
        (
            "no port",
            "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 70000 h true false".to_owned(),
            1,
            "port",
        ),
        ("arguments missing", "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1".to_owned(), 2, "port"),
        (
            "a row twice",
            format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {} localhost false false", plain.port),
            1,
            "",
        ),
        (
            "a row that is not there",
            "ADP_CLI/Interface/Http/HttpServer> delete 127.0.0.1 1".to_owned(),
            1,
            "",
        ),
        (
            "a cipher of OpenSSL",
            "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers> add ECDHE-RSA-AES128-GCM-SHA256".to_owned(),
            1,
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            "an unknown cipher",
            "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers> add TLS_NO_SUCH_THING".to_owned(),
            1,
            "",
        ),
        ("a revision that is not there", "rollback 999999".to_owned(), 1, ""),
        ("a revision that is none", "rollback yesterday".to_owned(), 2, ""),
    ];
    let mut report = Report::default();
    for (what, command, code, mentions) in cases {
        report.note(
            what,
            (|| {
                let output = lab.adpcli(&[&command])?;
                let text = String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.code() == Some(code), "expected {code}, got {}: {text}", output.status);
                ensure!(!text.contains("...Done"), "{text}");
                ensure!(
                    !text.trim().is_empty() && text.contains(mentions),
                    "should mention {mentions}: {text}"
                );
                ensure!(
                    !text.contains("panicked") && !text.contains('\u{7}') && text.len() < 2_000,
                    "{text}"
                );
                Ok(())
            })(),
        );
    }
    report.end()?;
    ensure!(lab.administer(&["revisions"])? == before, "something was changed");
    plain.others_are_served()
}
