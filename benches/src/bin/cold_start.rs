//! Time until a seeded `adp lab` serves, and of one `adpcli` command, on a running lab and on its files alone.

use anyhow::Result;
use openadp_benches::{median, report, runs};
use openadp_suite::Lab;
use std::time::Instant;

fn main() -> Result<()> {
    let (mut fresh, mut seeded, mut remote, mut local) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        let milliseconds = |since: Instant| since.elapsed().as_secs_f64() * 1000.0;
        let start = Instant::now();
        let mut lab = Lab::seed()?;
        fresh.push(milliseconds(start));
        let get = ["ADP_CLI/Applications/AuthenticationService/TokenManagement> get"];
        let start = Instant::now();
        lab.administer(&get)?;
        local.push(milliseconds(start));
        let start = Instant::now();
        lab.run()?;
        seeded.push(milliseconds(start));
        let start = Instant::now();
        lab.administer(&get)?;
        remote.push(milliseconds(start));
    }
    report(&format!(
        "cold start: seeding a lab {:.0} ms, adp lab until it serves {:.0} ms, adpcli get {:.1} ms on a running lab, {:.1} ms on its files",
        median(&fresh),
        median(&seeded),
        median(&remote),
        median(&local)
    ));
    Ok(())
}
