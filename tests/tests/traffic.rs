//! `adp lab --traffic`: parties from outside call in, and the people live with it.

use anyhow::{Result, ensure};
use openadp_suite::{Lab, PATIENCE, Running};
use std::collections::BTreeSet;
use std::time::Instant;

#[test]
fn outside_parties_call_in_and_the_people_answer_hold_send_on_and_hang_up() -> Result<()> {
    let mut lab = Lab::seed()?;
    let running = Running::start(lab.command(&["lab", "--traffic", "2"]))?;
    running.wait_for("The lab is ready")?;
    lab.process = Some(running);
    let admin = lab.administrator("enterprise");
    let curl = lab.curl(&admin);
    let channel = lab.channel(&admin, "traffic")?;
    let subscription = "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Basic Call</event><expires>3600</expires>\
                        <channelSetId>traffic</channelSetId></Subscription>";
    let url = format!("{}/v2.0/serviceprovider/{}", lab.text("xsi_events"), lab.subscriber(0).enterprise);
    curl.body(subscription).post(&url)?.expect_status(200)?;

    let wanted = [
        "CallReceivedEvent",
        "CallAnsweredEvent",
        "CallHeldEvent",
        "CallRetrievedEvent",
        "CallTransferredEvent",
        "CallReleasedEvent",
    ];
    let (mut seen, mut callers) = (BTreeSet::new(), BTreeSet::new());
    let began = Instant::now();
    while !wanted.iter().all(|kind| seen.contains(*kind)) || callers.len() < 4 {
        ensure!(began.elapsed() < PATIENCE, "only {seen:?} of {callers:?}");
        let event = channel.next_event()?;
        if let Some(kind) = event.event_type() {
            seen.insert(kind.to_owned());
        }
        let address = event.text_of("xsi:address").filter(|address| address.starts_with("tel:+1646555"));
        callers.extend(address.map(str::to_owned));
    }

    // Whoever ends the lab ends the calls.
    drop(lab.process.take());
    lab.run()?;
    let calls =
        lab.curl(&lab.subscriber(0)).get(&lab.user_url(&lab.subscriber(0), "calls"))?.expect_status(200)?;
    ensure!(!calls.body.contains("<callId>"), "{}", calls.body);
    Ok(())
}
