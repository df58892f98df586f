//! Connections: the pool's size, one stream before the first success, cut and refused ones.

use super::bench::{Bench, Setup, android, scripted, set, voip};
use openadp_standins::Script;
use serde_json::{Value, json};
use std::time::Duration;

/// Posts these calls at once, waits until as many are held by a stand-in, and lets them go.
async fn hold(bench: &Bench, calls: &[Value], at: &openadp_standins::Handle, held: usize) {
    at.script(Script::Hold, held);
    let posting = futures_util::future::join_all(calls.iter().map(|call| bench.push(call)));
    let releasing = async {
        at.held_at_least(held).await;
        at.release();
    };
    let (results, ()) = tokio::join!(posting, releasing);
    assert!(results.iter().all(|result| result["status"] == "sent"), "{results:?}");
}

#[tokio::test]
async fn the_pool_size_of_apns_takes_effect_live() {
    let bench = Bench::with(Setup { pool_size: 3, ..Setup::default() }).await;
    assert_eq!(bench.push(&bench.call(&[voip(0)])).await["status"], "sent");
    assert_eq!(bench.apns.connections(), 1);
    // The first connection is proven; two more open, each with one stream until its first success, the rest share.
    let calls: Vec<Value> = (1..=8).map(|number| bench.call(&[voip(number)])).collect();
    hold(&bench, &calls, &bench.apns, 8).await;
    assert_eq!(bench.apns.connections(), 3);
    bench.change(vec![set("APNS/Production", "connectionPoolSize", "5")]);
    let calls: Vec<Value> = (11..=18).map(|number| bench.call(&[voip(number)])).collect();
    hold(&bench, &calls, &bench.apns, 8).await;
    assert_eq!(bench.apns.connections(), 5);
}

#[tokio::test]
async fn idle_connections_are_closed_but_the_last() {
    let bench = Bench::with(Setup { pool_size: 3, ..Setup::default() }).await;
    bench.change(vec![set("APNS/Production", "connectionIdleTimeoutInSeconds", "1")]);
    assert_eq!(bench.push(&bench.call(&[voip(0)])).await["status"], "sent");
    let calls: Vec<Value> = (1..=3).map(|number| bench.call(&[voip(number)])).collect();
    hold(&bench, &calls, &bench.apns, 3).await;
    assert_eq!(bench.apns.open_connections(), 3);
    bench.apns.open_at_most(1).await;
    assert_eq!(bench.apns.open_connections(), 1);
    assert_eq!(bench.push(&bench.call(&[voip(0)])).await["status"], "sent");
    assert_eq!(bench.apns.connections(), 3, "on the one that was left");
}

#[tokio::test]
async fn a_server_that_is_unwell_costs_its_own_connection_only() {
    let bench = Bench::with(Setup { pool_size: 3, ..Setup::default() }).await;
    assert_eq!(bench.push(&bench.call(&[voip(0)])).await["status"], "sent");
    let calls: Vec<Value> = (1..=3).map(|number| bench.call(&[voip(number)])).collect();
    hold(&bench, &calls, &bench.apns, 3).await;
    bench.apns.script(scripted(503, "ServiceUnavailable"), 1);
    assert_eq!(bench.push(&bench.call(&[voip(0)])).await["status"], "sent");
    bench.apns.open_at_most(2).await;
    assert_eq!(bench.apns.connections(), 3, "the second try took one of the others");
}

#[tokio::test]
async fn the_pool_size_of_fcm_takes_effect() {
    let bench = Bench::with(Setup { pool_size: 2, ..Setup::default() }).await;
    let calls: Vec<Value> = (1..=6).map(|number| bench.call(&[android(number)])).collect();
    hold(&bench, &calls, &bench.fcm, 6).await;
    assert_eq!(bench.fcm.connections(), 2 + 1, "and one to the token endpoint");
}

#[tokio::test]
async fn a_new_connection_to_apns_carries_one_stream_until_it_is_proven() {
    let bench = Bench::with(Setup { pool_size: 1, ..Setup::default() }).await;
    let calls: Vec<Value> = (1..=6).map(|number| bench.call(&[voip(number)])).collect();
    let results = futures_util::future::join_all(calls.iter().map(|call| bench.push(call))).await;
    assert!(results.iter().all(|result| result["status"] == "sent"), "{results:?}");
    // The stand-in refuses a second stream before the first success: none was.
    assert_eq!(bench.apns.answered(), 6);
    assert_eq!(bench.apns.connections(), 1);
}

#[tokio::test]
async fn a_connection_cut_mid_push_costs_a_retry_not_the_call() {
    let bench = Bench::new().await;
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    bench.apns.script(Script::Cut, 1);
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    // Whether the phone rang is not known: a new call is tried once more, and no more.
    bench.apns.script(Script::Cut, 2);
    let call = bench.call(&[voip(1)]);
    let result = bench.push(&call).await;
    assert_eq!((&result["status"], &result["reason"]), (&json!("unavailable"), &json!("connection lost")));
    assert_eq!(bench.push(&call).await["status"], "sent");
}

#[tokio::test]
async fn all_connections_cut_while_pushes_are_held() {
    let bench = Bench::new().await;
    bench.fcm.script(Script::Silence, 2);
    let calls = [bench.call(&[android(1)]), bench.call(&[android(2)])];
    let posting = futures_util::future::join_all(calls.iter().map(|call| bench.push(call)));
    let cutting = async {
        bench.fcm.held_at_least(2).await;
        bench.fcm.cut_connections();
    };
    let (results, ()) = tokio::join!(posting, cutting);
    assert!(results.iter().all(|result| result["status"] == "sent"), "{results:?}");
}

#[tokio::test]
async fn refused_streams_and_goaways_are_retried_elsewhere() {
    let bench = Bench::new().await;
    for script in [Script::RefuseStream, Script::Goaway, Script::RefuseStream] {
        bench.apns.script(script.clone(), 1);
        bench.fcm.script(script, 1);
        for target in [voip(1), android(1), voip(2), android(2)] {
            assert_eq!(bench.push(&bench.call(&[target])).await["status"], "sent");
        }
    }
}

#[tokio::test]
async fn a_silent_peer_is_given_up_and_tried_again() {
    let bench = Bench::with(Setup { timeout_millis: 300, ..Setup::default() }).await;
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent");
    bench.apns.script(Script::Silence, 1);
    let result = bench.push(&bench.call(&[voip(1)])).await;
    assert_eq!(result["status"], "sent", "on the second try: {result}");
    assert!(result["latencyMs"].as_u64().unwrap() >= 300);
}

#[tokio::test]
async fn a_silent_peer_does_not_hold_up_the_other() {
    let bench = Bench::with(Setup { timeout_millis: 20_000, ..Setup::default() }).await;
    bench.change(vec![set("GeneralSettings", "maximumConcurrentPushes", "1")]);
    bench.apns.script(Script::Silence, 1);
    let (silent, other) = (bench.call(&[voip(1)]), bench.call(&[android(1)]));
    let other = async {
        bench.apns.held_at_least(1).await;
        let other = bench.push(&other).await;
        assert_eq!(bench.apns.held(), 1, "it is silent still");
        bench.apns.cut_connections();
        other
    };
    let (_, other) = tokio::join!(bench.post(&silent), other);
    assert_eq!(other["status"], "sent");
}

#[tokio::test]
async fn everything_ends_when_the_process_does() {
    let bench = Bench::new().await;
    let call = bench.call(&[voip(1), android(1)]);
    assert_eq!(bench.post(&call).await.0, 200);
    bench.apns.script(scripted(500, "InternalServerError"), 1000);
    bench.shutdown.cancel();
    bench.tasks.close();
    tokio::time::timeout(Duration::from_secs(5), bench.tasks.wait()).await.expect("no task is left");
}
