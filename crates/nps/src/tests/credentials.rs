//! Provider tokens and access tokens: made seldom, renewed in time; keys from files.

use super::bench::{ANDROID, Bench, IOS, KEY_ID, PROJECT, ROOT, TEAM, add, android, key_file, set, voip};
use openadp_settings::{Author, Edit};
use openadp_standins::Received;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use serde_json::json;
use std::time::Duration;

fn issued(bench: &Bench) -> Vec<i64> {
    bench.apns.received().iter().filter_map(|received| received.apns()?.issued_at).collect()
}

fn grants(bench: &Bench) -> usize {
    bench.fcm.received().iter().filter(|received| matches!(received, Received::Grant(_))).count()
}

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_provider_token_is_used_for_45_minutes() {
    let bench = Bench::new().await;
    let start = 1_800_000_000;
    for (minutes, expected) in
        [(0, start), (20, start), (24, start), (1, start + 45 * 60), (44, start + 45 * 60)]
    {
        bench.turn_clock(MINUTE * minutes);
        assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
        assert_eq!(issued(&bench).last(), Some(&expected));
    }
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_and_the_push_sent() {
    let bench = Bench::new().await;
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    bench.turn_clock(MINUTE * 21);
    bench.apns.script(super::bench::scripted(403, "ExpiredProviderToken"), 1);
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    let start = 1_800_000_000;
    assert_eq!(issued(&bench), [start, start, start + 21 * 60]);
}

#[tokio::test]
async fn too_many_updates_stop_renewals() {
    let bench = Bench::new().await;
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    bench.turn_clock(MINUTE * 40);
    bench.apns.script(super::bench::scripted(429, "TooManyProviderTokenUpdates"), 1);
    let mut call = bench.call(&[voip(1)]);
    call["expiresAt"] = json!(bench.in_seconds(1));
    assert_eq!(bench.push(&call).await["status"], "throttled");
    // It would be 45 minutes old now, and due; but not before 20 minutes have gone by.
    bench.turn_clock(MINUTE * 6);
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    assert_eq!(issued(&bench), [1_800_000_000; 3]);
}

#[tokio::test]
async fn an_access_token_is_kept_until_shortly_before_its_end() {
    let bench = Bench::new().await;
    for (minutes, expected) in [(0, 1), (30, 1), (27, 1), (2, 2), (1, 2)] {
        bench.turn_clock(MINUTE * minutes);
        assert_eq!(bench.push(&bench.call(&[android(1)])).await["status"], "sent");
        assert_eq!(grants(&bench), expected);
    }
}

#[tokio::test]
async fn many_pushes_at_once_ask_for_one_access_token() {
    let bench = Bench::new().await;
    let calls: Vec<_> = (0..20).map(|number| bench.call(&[android(number)])).collect();
    let results = futures_util::future::join_all(calls.iter().map(|call| bench.push(call))).await;
    assert!(results.iter().all(|result| result["status"] == "sent"));
    assert_eq!(grants(&bench), 1);
}

#[tokio::test]
async fn a_void_access_token_is_replaced() {
    let bench = Bench::new().await;
    assert_eq!(bench.push(&bench.call(&[android(1)])).await["status"], "sent");
    bench.fcm.void_access_tokens();
    assert_eq!(bench.push(&bench.call(&[android(1)])).await["status"], "sent");
    assert_eq!(grants(&bench), 2);
}

#[tokio::test]
async fn a_refused_assertion_is_the_operators_fault() {
    let bench = Bench::new().await;
    bench.change(vec![set("FCM", "scope", "https://www.googleapis.com/auth/drive")]);
    let result = bench.push(&bench.call(&[android(1)])).await;
    assert_eq!(result["status"], "unavailable");
    assert!(result["reason"].as_str().unwrap().contains("invalid_scope"), "{result}");
    bench.change(vec![set("FCM", "scope", "https://www.googleapis.com/auth/firebase.messaging")]);
    assert_eq!(bench.push(&bench.call(&[android(1)])).await["status"], "sent");
}

#[tokio::test]
async fn android_can_be_switched_off_live() {
    let bench = Bench::new().await;
    bench.change(vec![set("FCM", "V1Enabled", "false")]);
    let call = bench.call(&[android(1)]);
    assert_eq!(bench.push(&call).await["status"], "notConfigured");
    bench.change(vec![set("FCM", "V1Enabled", "true")]);
    assert_eq!(bench.push(&call).await["status"], "sent", "the same notification again");
}

#[tokio::test]
async fn credentials_come_and_go_live() {
    let bench = Bench::new().await;
    let delete = |context: &str, key: &str| Edit::Delete {
        context: format!("{ROOT}{context}"),
        key: vec![key.to_owned()],
    };
    bench.change(vec![delete("APNS/Production/Tokens", IOS), delete("FCM/Applications", ANDROID)]);
    for target in [voip(1), android(1)] {
        assert_eq!(bench.push(&bench.call(&[target])).await["status"], "notConfigured");
    }
    bench.change(vec![
        add("APNS/Production/Tokens", &[("appId", IOS), ("authKeyId", KEY_ID)]),
        add("FCM/Applications", &[("applicationId", ANDROID), ("projectId", PROJECT)]),
    ]);
    for target in [voip(1), android(1)] {
        assert_eq!(bench.push(&bench.call(&[target])).await["status"], "sent");
    }
}

/// Runs `add` as the CLI does.
fn run(bench: &Bench, context: &str, arguments: &[&str]) -> Result<(), String> {
    let arguments: Vec<_> = arguments.iter().map(|argument| Some((*argument).to_owned())).collect();
    let now = openadp_appserver::Clock::now(&*bench.clock);
    bench
        .store
        .run_action(&format!("{ROOT}{context}"), "add", &arguments, &Author("bench".to_owned()), false, now)
        .map(drop)
        .map_err(|problems| problems.0[0].reason.clone())
}

#[tokio::test]
async fn key_files_are_read_once_checked_and_never_shown() {
    let bench = Bench::new().await;
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
    assert_eq!(run(&bench, "APNS/AuthKey", &["KEY4567890", TEAM, &p256]), Ok(()));
    for bad in [p384.as_str(), "-----BEGIN PRIVATE KEY-----", &key_file()] {
        let refused = run(&bench, "APNS/AuthKey", &["KEY4567891", TEAM, bad]).unwrap_err();
        assert_eq!(refused, "not a PKCS#8 key of curve P-256 in PEM");
    }
    assert_eq!(
        run(&bench, "FCM/Projects", &["another", &key_file()]).unwrap_err(),
        "the file belongs to project lab-project"
    );
    for bad in ["{}", "[]", r#"{"client_email":"x","private_key":"y"}"#, &p256] {
        let refused = run(&bench, "FCM/Projects", &[PROJECT, bad]).unwrap_err();
        assert!(
            refused.starts_with("not a key file") || refused.starts_with("private_key is not"),
            "{refused}"
        );
    }
    let file = key_file().replace("lab-project\"", "second\"");
    assert_eq!(run(&bench, "FCM/Projects", &["second", &file]), Ok(()));
    let shown = format!("{:?}", bench.store.current());
    assert!(!shown.contains("PRIVATE KEY"), "secrets do not print");
    let rows = bench.store.rows::<crate::ApnsAuthKey>();
    assert_eq!(rows.len(), 2);
    assert!(!format!("{rows:?}").contains("PRIVATE KEY"));
}

#[tokio::test]
async fn references_are_checked() {
    let bench = Bench::new().await;
    let refused = |edits| {
        let change = openadp_settings::Change {
            author: Author("bench".to_owned()),
            comment: None,
            edits,
            force: false,
        };
        bench.store.commit(&change, openadp_appserver::Clock::now(&*bench.clock)).unwrap_err().0[0]
            .reason
            .clone()
    };
    let reason = refused(vec![add("FCM/Applications", &[("applicationId", "x"), ("projectId", "none")])]);
    assert_eq!(reason, "there is no project none, which x uses");
    let reason = refused(vec![add("APNS/Production/Tokens", &[("appId", "x"), ("authKeyId", "0123456789")])]);
    assert_eq!(reason, "there is no key 0123456789, which x uses");
    assert!(refused(vec![set("FCM", "pushURL", "https://fcm.example/v1")]).contains("PROJECT-ID"));
    assert!(refused(vec![set("APNS/GeneralSettings", "HTTP2Enabled", "false")]).contains("true"));
    assert!(
        refused(vec![set("APNS/Production", "url", "http://api.push.example/3/device")]).contains("https")
    );
}
