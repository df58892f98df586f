//! Basic logins over the embedded application server: a thousand users who log in every second, with and without a flood of
//! wrong passwords; and whether an unknown user can be told from a wrong password by time.

use anyhow::{Context as _, Result, ensure};
use openadp_appserver::{Credentials, PortError, SystemClock, UserId};
use openadp_appserver_embedded::{EmbeddedApplicationServer, MODULE, NewSubscriber, Options};
use openadp_benches::{SERVER_CORE, median, percentile, pin, report};
use openadp_settings::{Registry, Secret, Store};
use openadp_wake::Wake;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const USERS: usize = 1_000;
/// Tries of each kind.
const TRIES: usize = 300;
const SECONDS: u32 = 10;

fn user(n: usize) -> UserId {
    UserId::new(&format!("user{n}@bench.example"))
}

fn password(n: usize) -> String {
    format!("correct horse {n}")
}

async fn server(folder: &std::path::Path) -> Result<EmbeddedApplicationServer> {
    let settings = Store::in_memory(Registry::new([MODULE])?);
    let options = Options {
        data_dir: folder.to_owned(),
        wake: Wake::in_process(),
        clock: Arc::new(SystemClock),
        settings,
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        push_sender: None,
    };
    let server = EmbeddedApplicationServer::open(options).await?;
    let provisioning = server.provisioning();
    provisioning.put_provider("bench", true).await?;
    provisioning.put_group("bench", "all").await?;
    for n in 0..USERS {
        let subscriber = NewSubscriber {
            user_id: user(n),
            provider: "bench".to_owned(),
            group: "all".to_owned(),
            first_name: "User".to_owned(),
            last_name: n.to_string(),
            number: None,
            extension: Some((10_000 + n).to_string()),
            country_code: "1".to_owned(),
            mobile: None,
            email_address: None,
            title: None,
            department: None,
            time_zone: None,
            password: Secret::new(password(n)),
        };
        provisioning.put_subscriber(&subscriber).await?;
    }
    Ok(server)
}

/// The longest of each second's logins of everybody, in milliseconds, and how many were served.
async fn everybody(credentials: &Arc<dyn Credentials>) -> Result<(Vec<f64>, u32)> {
    let (mut took, mut served) = (Vec::new(), 0);
    for _ in 0..SECONDS {
        let second = Instant::now();
        for n in 0..USERS {
            let began = Instant::now();
            credentials.verify_password(&user(n), &password(n)).await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
            served += 1;
        }
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(second.elapsed())).await;
    }
    Ok((took, served))
}

fn main() -> Result<()> {
    pin(SERVER_CORE)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path()).await?;
    let credentials = server.ports().credentials;

    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..TRIES {
        for (who, times) in
            [(user(n), &mut wrong), (UserId::new(&format!("nobody{n}@bench.example")), &mut unknown)]
        {
            let began = Instant::now();
            let refused = credentials.verify_password(&who, "incorrect horse").await;
            ensure!(matches!(refused, Err(PortError::CredentialsRefused)), "{refused:?}");
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    let (wrong, unknown) = (median(&wrong), median(&unknown));
    report(&format!(
        "passwords: wrong password {wrong:.3} ms, unknown user {unknown:.3} ms, apart {:.3} ms or {:.2} % (aim below 1 ms or 2 %)",
        (wrong - unknown).abs(),
        (wrong - unknown).abs() / wrong.max(unknown) * 100.0
    ));

    // The first login of each costs a hash.
    for n in 0..USERS {
        credentials.verify_password(&user(n), &password(n)).await?;
    }
    let began = Instant::now();
    for n in 0..USERS {
        credentials.verify_password(&user(n), &password(n)).await?;
    }
    let rate = 1_000.0 / began.elapsed().as_secs_f64();
    let (took, served) = everybody(&credentials).await?;
    report(&format!(
        "passwords: {served} logins of {USERS} users in {SECONDS} s, p99 {:.2} ms; {rate:.0}/s when nothing else is asked (one hash takes {wrong:.0} ms)",
        percentile(&took, 0.99)
    ));

    let (over, refused, busy) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let flood: Vec<_> = (0..64_usize)
        .map(|at| {
            let (credentials, over, refused, busy) =
                (credentials.clone(), over.clone(), refused.clone(), busy.clone());
            #[expect(clippy::disallowed_methods, reason = "a benchmark waits for its own tasks")]
            tokio::spawn(async move {
                let mut n = at;
                while !over.load(Ordering::Relaxed) {
                    n += 64;
                    let counter = match credentials.verify_password(&user(n % USERS), "incorrect horse").await
                    {
                        Err(PortError::CredentialsRefused) => &refused,
                        _ => &busy,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let (took, served) = everybody(&credentials).await?;
    over.store(true, Ordering::Relaxed);
    for task in flood {
        task.await.context("the flood")?;
    }
    report(&format!(
        "passwords: the same beside a flood of wrong ones ({} refused, {} told to come back): {served} logins served, p99 {:.2} ms",
        refused.load(Ordering::Relaxed),
        busy.load(Ordering::Relaxed),
        percentile(&took, 0.99)
    ));

    // A changed password counts at once.
    server.provisioning().set_password(&user(0), &Secret::new("another")).await?;
    let old = credentials.verify_password(&user(0), &password(0)).await;
    ensure!(matches!(old, Err(PortError::CredentialsRefused)), "the old password still works: {old:?}");
    credentials.verify_password(&user(0), "another").await?;
    Ok(())
}
