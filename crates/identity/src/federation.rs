//! The federation service: which identity providers there are. authservice.md 5.1 and 5.2
//!
//! Its answer only says which issuers' tokens may be asked about, where the configured provider is asked; no URL of it is
//! ever called.

use crate::config::FederationConfig;
use crate::exchange::{Exchange, Fault, Question, plain};
use crate::grants::Grants;
use crate::state::{Cluster, FederationState};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Most identity providers that are kept.
const MOST: usize = 1000;
/// How deep the list may lie in the answer.
const DEPTH: usize = 4;
const MAX_TEXT: usize = 512;

/// Asks the federation service.
pub(crate) async fn fetch(
    exchange: &Exchange,
    grants: &Grants,
    config: &FederationConfig,
) -> Result<Vec<Cluster>, Fault> {
    let registration = &config.registration;
    let mut refused = None;
    for _ in 0..2 {
        let token = grants.current(registration, refused.as_ref(), exchange.deadline()).await?;
        let question = Question {
            url: &config.url,
            authorization: Some(Zeroizing::new(format!("Bearer {}", token.as_str()))),
            form: None,
            max_body: registration.max_body,
            deadline: exchange.deadline(),
        };
        let reply = exchange.ask(question).await?;
        match reply.status {
            200 => {
                let clusters = parse(&reply.body);
                if clusters.is_empty() {
                    return Err(Fault::new(
                        "malformed",
                        format!("{} answers without an identity provider", plain(&config.url)),
                    ));
                }
                return Ok(clusters);
            }
            401 | 403 => refused = Some(token),
            status => return Err(Fault::new("status", format!("{} answers {status}", plain(&config.url)))),
        }
    }
    Err(Fault::new("clientRefused", format!("{} does not take our access token", plain(&config.url))))
}

/// What an attempt makes of what was known: the last good map stays.
pub(crate) fn after(
    mut known: FederationState,
    url: &str,
    now: i64,
    outcome: &Result<Vec<Cluster>, Fault>,
) -> FederationState {
    match outcome {
        Ok(clusters) => FederationState {
            url: url.to_owned(),
            clusters: clusters.clone(),
            fetched: Some(now),
            // Kept for whoever asks what went wrong before.
            ..known
        },
        Err(fault) => {
            (known.error, known.failed) = (Some(fault.text.clone()), Some(now));
            known
        }
    }
}

/// The identity providers of an answer: the first list of objects that name an issuer.
pub(crate) fn parse(body: &[u8]) -> Vec<Cluster> {
    serde_json::from_slice::<Value>(body).map(|value| find(&value, DEPTH)).unwrap_or_default()
}

fn find(value: &Value, depth: usize) -> Vec<Cluster> {
    match value {
        Value::Array(list) => {
            let mut found: Vec<Cluster> = Vec::new();
            for cluster in list.iter().filter_map(Value::as_object).filter_map(cluster).take(MOST) {
                if !found.iter().any(|known| known.issuer == cluster.issuer) {
                    found.push(cluster);
                }
            }
            found
        }
        Value::Object(members) if depth > 0 => members
            .values()
            .map(|value| find(value, depth - 1))
            .find(|found| !found.is_empty())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn cluster(members: &Map<String, Value>) -> Option<Cluster> {
    let text =
        |names: &[&str]| {
            names.iter().filter_map(|name| members.get(*name)?.as_str()).map(str::trim).find(|text| {
                !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
            })
        };
    let issuer = text(&["issuer", "issuerName"])?;
    let parsed = url::Url::parse(issuer).ok().filter(|url| url.scheme() == "https")?;
    Some(Cluster {
        name: text(&["name", "cluster"]).or(parsed.host_str())?.to_owned(),
        issuer: issuer.to_owned(),
        url: text(&["url", "issuerUrl"]).unwrap_or(issuer).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lists_are_found_in_many_forms() {
        let one = json!({"issuer": "https://idbroker.webex.com/idb", "url": "https://idbroker.webex.com", "name": "US-A"});
        let other = json!({"issuerName": "https://idbroker-eu.webex.com/idb", "cluster": "EU", "more": 1});
        for body in [
            json!([one, other]),
            json!({"identityProviders": [one, other], "other": []}),
            json!({"a": {"b": [one, other]}}),
            json!([one, other, one, {"issuer": "http://not.secure"}, {"issuer": 7}, {}, 3]),
        ] {
            let found = parse(body.to_string().as_bytes());
            assert_eq!(found.len(), 2, "{body}");
            assert_eq!((found[0].name.as_str(), found[1].name.as_str()), ("US-A", "EU"));
            assert_eq!(found[1].url, "https://idbroker-eu.webex.com/idb");
        }
        for body in ["", "[]", "{}", "<html>", r#"{"issuer":"https://a/b"}"#, "[[[]]]"] {
            assert!(parse(body.as_bytes()).is_empty(), "{body}");
        }
    }

    #[test]
    fn the_last_good_map_stays() {
        let good = vec![Cluster {
            name: "US-A".into(),
            issuer: "https://a/idb".into(),
            url: "https://a/idb".into(),
        }];
        let first = after(FederationState::default(), "https://fls/federation", 10, &Ok(good.clone()));
        let failed = after(first, "https://fls/federation", 20, &Err(Fault::new("connect", "refused")));
        assert_eq!((failed.clusters, failed.fetched), (good, Some(10)));
        assert_eq!((failed.error.as_deref(), failed.failed), (Some("refused"), Some(20)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&bytes).len() <= MOST);
        }
    }
}
