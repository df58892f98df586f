//! A profile and a page of the enterprise directory with a million subscribers in the store beside a thousand, over keep-alive
//! TLS; and searches in the large one. `DIRECTORIES_SUBSCRIBERS` takes another number than a million.

use anyhow::{Context as _, Result, ensure};
use openadp_appserver::{SystemClock, UserId};
use openadp_appserver_embedded::{EmbeddedApplicationServer, MODULE, NewSubscriber, Options};
use openadp_benches::{basic, median, pinned_lab, report, runs, wrk};
use openadp_settings::{Registry, Secret, Store};
use openadp_suite::{Account, Lab};
use openadp_wake::Wake;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Subscribers of the small store.
const FEW: usize = 1_000;
/// Subscribers of the large one, and how many of them share the enterprise of the one who asks (the deployment guide's bound).
const MANY: usize = 1_000_000;
const ENTERPRISE: usize = 200_000;
/// Subscribers that are written in one transaction.
const BATCH: usize = 2_000;

fn many() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of the benchmarks, not of the suite")]
    std::env::var("DIRECTORIES_SUBSCRIBERS").ok().and_then(|count| count.parse().ok()).unwrap_or(MANY)
}

/// A name of six letters, another for each number.
fn name(mut n: usize) -> String {
    let mut letters = String::new();
    for _ in 0..6 {
        letters.push(char::from(b'a' + u8::try_from(n % 26).unwrap_or_default()));
        n = n / 26 + n % 7 * 1_000;
    }
    letters
}

/// Puts subscribers into the store of a lab, beside its own: as many as an enterprise may have into that of the one who asks,
/// the others into enterprises of that size.
async fn fill(lab: &Lab, who: &Account, count: usize) -> Result<()> {
    let tasks = TaskTracker::new();
    let server = EmbeddedApplicationServer::open(Options {
        data_dir: lab.data_dir.clone(),
        wake: Wake::in_process(),
        clock: Arc::new(SystemClock),
        settings: Store::in_memory(Registry::new([MODULE])?),
        tasks: tasks.clone(),
        shutdown: CancellationToken::new(),
        push_sender: None,
    })
    .await?;
    let provisioning = server.provisioning();
    let mut batch = Vec::with_capacity(BATCH);
    for n in 0..count {
        let provider = match n / ENTERPRISE {
            0 => who.enterprise.clone(),
            other => format!("enterprise{other}"),
        };
        if n % ENTERPRISE == 0 {
            provisioning.put_subscribers(&std::mem::take(&mut batch)).await?;
            provisioning.put_provider(&provider, true).await?;
            provisioning.put_group(&provider, "bulk").await?;
        }
        batch.push(NewSubscriber {
            user_id: UserId::new(&format!("bulk{n}@bench.example")),
            provider,
            group: "bulk".to_owned(),
            first_name: name(n * 31 + 7),
            last_name: name(n),
            number: Some(format!("+1900{n:07}")),
            extension: Some(format!("{n}")),
            country_code: "1".to_owned(),
            mobile: None,
            email_address: Some(format!("bulk{n}@bench.example")),
            title: None,
            department: Some(format!("Department {}", n % 50)),
            time_zone: None,
            // Hashed once a batch: the parameters of the hash are what they are everywhere.
            password: Secret::new("correct horse bulk"),
        });
        if batch.len() == BATCH {
            provisioning.put_subscribers(&std::mem::take(&mut batch)).await?;
        }
    }
    provisioning.put_subscribers(&batch).await?;
    server.close().await;
    tasks.close();
    Ok(())
}

/// Milliseconds that a request of its own takes: the median of some.
fn milliseconds(lab: &Lab, who: &Account, resource: &str) -> Result<f64> {
    let rate = wrk(&lab.user_url(who, resource), &[basic(&who.user_id, &who.password)], 1)?;
    Ok(1e3 / rate)
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (small, large) = (pinned_lab()?, pinned_lab()?);
    let (few, many) = (small.subscriber(0), large.subscriber(0));
    let began = Instant::now();
    runtime.block_on(fill(&small, &few, FEW))?;
    runtime.block_on(fill(&large, &many, self::many()))?;
    report(&format!("directories: {} subscribers in {:.0} s", self::many(), began.elapsed().as_secs_f64()));
    let total = |lab: &Lab, who: &Account| -> Result<usize> {
        let page = lab.curl(who).get(&lab.user_url(who, "directories/Enterprise"))?.expect_status(200)?;
        page.text_of("totalAvailableRecords").context("no total")?.parse().context("a number")
    };
    ensure!(
        total(&small, &few)? >= FEW && total(&large, &many)? >= self::many().min(ENTERPRISE),
        "not filled"
    );
    for (what, resource) in
        [("profile", "profile"), ("directory page", "directories/Enterprise?start=1&results=50")]
    {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..runs() {
            fast.push(milliseconds(&small, &few, resource)?);
            slow.push(milliseconds(&large, &many, resource)?);
        }
        let (fast, slow) = (median(&fast), median(&slow));
        report(&format!(
            "directories: {what} {slow:.3} ms with {} subscribers, {fast:.3} ms with {FEW}, ratio {:.2} (aim at most 1.30)",
            self::many(),
            slow / fast
        ));
    }
    for (what, resource) in [
        (
            "the page in the middle",
            format!("directories/Enterprise?start={}&results=50", self::many().min(ENTERPRISE) / 2),
        ),
        ("last names that begin with abc", "directories/Enterprise?lastName=abc*/i".to_owned()),
        ("names that contain xyz", "directories/Enterprise?name=*xyz*/i".to_owned()),
        ("a number", "directories/Enterprise?number=*0004711".to_owned()),
        ("sorted by department", "directories/Enterprise?sortColumn=department/i".to_owned()),
    ] {
        report(&format!("directories: {what}: {:.2} ms", milliseconds(&large, &many, &resource)?));
    }
    Ok(())
}
