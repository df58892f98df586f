//! Calls a second through the call engine of the embedded application server on one core: dialled, answered and released,
//! each step one transaction with its events, call logs and timers. Beside it, what SQLite commits there a second at all.

use anyhow::{Result, anyhow, ensure};
use openadp_appserver::{CallAction, CallState, DialOptions, SystemClock, UserId};
use openadp_appserver_embedded::{EmbeddedApplicationServer, MODULE, NewSubscriber, Options};
use openadp_benches::{SERVER_CORE, median, pin, report, runs};
use openadp_settings::{Registry, Secret, Store};
use openadp_wake::Wake;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pairs of subscribers that call each other at once.
const PAIRS: usize = 16;
const SECONDS: u64 = 5;
/// What the engine should do at least.
const GOAL: f64 = 2000.0;

fn user(number: usize) -> UserId {
    UserId::new(&format!("user{number}@bench.example"))
}

async fn seed(server: &EmbeddedApplicationServer) -> Result<()> {
    let provisioning = server.provisioning();
    provisioning.put_provider("acme", true).await?;
    provisioning.put_group("acme", "north").await?;
    for number in 0..PAIRS * 2 {
        let subscriber = NewSubscriber {
            user_id: user(number),
            provider: "acme".to_owned(),
            group: "north".to_owned(),
            first_name: "Some".to_owned(),
            last_name: format!("Body{number}"),
            number: Some(format!("+121255{number:05}")),
            extension: Some(format!("{}", 20_000 + number)),
            country_code: "1".to_owned(),
            mobile: None,
            email_address: None,
            title: None,
            department: None,
            time_zone: None,
            password: Secret::new("bench-secret-of-nobody"),
        };
        provisioning.put_subscriber(&subscriber).await?;
    }
    Ok(())
}

/// One call after the other until the time is over; how many there were.
async fn talk(server: Arc<EmbeddedApplicationServer>, pair: usize, end: Instant) -> Result<u32> {
    let calls = server.ports().calls;
    let (caller, called) = (user(pair * 2), user(pair * 2 + 1));
    let extension = format!("{}", 20_001 + pair * 2);
    let mut done = 0;
    while Instant::now() < end {
        let start = calls.dial(&caller, &extension, &DialOptions::default()).await?;
        let ringing = calls.overview(&called).await?.calls;
        let half = ringing.first().ok_or_else(|| anyhow!("{} does not ring", called.as_str()))?;
        calls.act(&called, &half.id, &CallAction::Talk).await?;
        calls.act(&caller, &start.call_id, &CallAction::Release).await?;
        done += 1;
    }
    let over = calls.overview(&called).await?.calls;
    ensure!(over.iter().all(|call| call.state == CallState::Released), "calls were left: {over:?}");
    Ok(done)
}

/// Commits a second of a row of 500 bytes, by SQLite with the engine's settings.
async fn commits(folder: &std::path::Path) -> Result<f64> {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
    let options = SqliteConnectOptions::new()
        .filename(folder.join("reference.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, text TEXT)").execute(&pool).await?;
    let text = "x".repeat(500);
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(SECONDS) {
        sqlx::query("INSERT INTO rows (text) VALUES (?)").bind(&text).execute(&pool).await?;
        done += 1;
    }
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

async fn measure() -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let wake = Wake::join(folder.path(), &tasks, shutdown.clone())?;
    let server = EmbeddedApplicationServer::open(Options {
        data_dir: folder.path().to_owned(),
        wake,
        clock: Arc::new(SystemClock),
        settings: Store::in_memory(Registry::new([MODULE])?),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
        push_sender: None,
    });
    let server = Arc::new(server.await?);
    seed(&server).await?;
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let talking: Vec<_> = (0..PAIRS).map(|pair| tasks.spawn(talk(server.clone(), pair, end))).collect();
    let mut done = 0;
    for pair in talking {
        done += pair.await??;
    }
    let rate = f64::from(done) / began.elapsed().as_secs_f64();
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    server.close().await;
    Ok((rate, commits(folder.path()).await?))
}

fn main() -> Result<()> {
    pin(SERVER_CORE)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let (calls, commits) = runtime.block_on(measure())?;
        ours.push(calls);
        reference.push(commits);
    }
    let (ours, reference) = (median(&ours), median(&reference));
    report(&format!(
        "calls: {ours:.0}/s dialled, answered and released ({:.0} transactions/s), SQLite alone commits {reference:.0} rows/s, ratio {:.2} (at least {GOAL:.0} calls/s): {}",
        ours * 3.0,
        ours * 3.0 / reference,
        if ours >= GOAL { "met" } else { "NOT met" }
    ));
    Ok(())
}
