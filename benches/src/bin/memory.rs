//! Resident memory of an idle event channel, with and without TLS.

use anyhow::Result;
use openadp_benches::{Client, basic, median, process, report, resident, runs};
use openadp_suite::Lab;

const CHANNELS: usize = 1_000;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for (name, secure) in [("with TLS", true), ("without TLS", false)] {
        let mut samples = Vec::new();
        for _ in 0..runs().min(3) {
            samples.push(runtime.block_on(measure(secure))?);
        }
        report(&format!("memory: {:.1} KiB resident for an idle channel {name}", median(&samples) / 1024.0));
    }
    Ok(())
}

async fn measure(secure: bool) -> Result<f64> {
    let lab = Lab::start()?;
    let url = if secure {
        lab.text("xsi_events").to_owned()
    } else {
        let port = lab.port_base() + 21;
        lab.administer(&[&format!(
            "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost false false"
        )])?;
        format!("http://127.0.0.1:{port}/com.broadsoft.xsi-events")
    };
    let server = process(&lab)?.id();
    let mut channels = Vec::new();
    // The first hundred pay for what is needed once.
    let mut before = 0.0;
    for index in 0..CHANNELS + 100 {
        if index == 100 {
            before = resident(server)?;
        }
        let account = lab.subscriber(index % 20);
        let client = Client::new(&url, lab.ca(), basic(&account.user_id, &account.password))?;
        channels.push(client.channel(&format!("idle-{index}")).await?);
    }
    let after = resident(server)?;
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let each = (after - before) / CHANNELS as f64;
    drop(channels);
    Ok(each)
}
