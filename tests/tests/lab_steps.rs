//! The main job, step by step, on a running lab: real sockets, real TLS, the built binaries, clients that are not ours.
//!
//! The steps are the numbered ones of the README. `five_processes.rs` goes through the same with a process for each
//! application.

#[path = "steps/mod.rs"]
mod steps;

use anyhow::Result;
use openadp_suite::{Lab, python, repository};
use std::process::Command;

#[test]
fn the_description_is_the_same_before_and_while_the_lab_runs() -> Result<()> {
    let mut lab = Lab::seed()?;
    let before = lab.description.clone();
    lab.run()?;
    assert_eq!(before, lab.describe()?);
    for (name, pattern) in [
        ("auth_service", "/authService"),
        ("xsi_actions", "/com.broadsoft.xsi-actions"),
        ("xsi_events", "/com.broadsoft.xsi-events"),
        ("dms", "/dms"),
        ("nps", "/nps"),
    ] {
        let url = lab.text(name);
        assert!(url.starts_with("https://127.0.0.1:") && url.ends_with(pattern), "{name}: {url}");
    }
    assert!(lab.ca().is_absolute() && lab.ca().exists());
    assert_eq!(before["subscribers"].as_array().map(Vec::len), Some(20));
    assert!(lab.subscriber(0).user_id.is_ascii());
    Ok(())
}

#[test]
fn two_labs_run_side_by_side_and_write_only_below_their_folders() -> Result<()> {
    let (one, two) = (Lab::start()?, Lab::start()?);
    for lab in [&one, &two] {
        steps::sign_in(&steps::Hosts::of(lab))?;
    }
    Ok(())
}

#[test]
fn step_1_sign_in_and_step_2_use_it() -> Result<()> {
    let lab = Lab::start()?;
    let hosts = steps::Hosts::of(&lab);
    let token = steps::sign_in(&hosts)?;
    steps::use_token(&hosts, &token)
}

#[test]
fn step_3_listen() -> Result<()> {
    let lab = Lab::start()?;
    steps::listen(&steps::Hosts::of(&lab))
}

#[test]
fn step_4_call() -> Result<()> {
    let lab = Lab::start()?;
    let hosts = steps::Hosts::of(&lab);
    steps::call(&hosts)?;
    steps::order(&hosts)
}

#[test]
fn step_5_watch_over_cti() -> Result<()> {
    let lab = Lab::start()?;
    steps::watch_over_cti(&steps::Hosts::of(&lab))
}

#[test]
fn step_6_configure() -> Result<()> {
    let lab = Lab::start()?;
    steps::configure(&steps::Hosts::of(&lab))
}

#[test]
fn step_7_wake_a_phone() -> Result<()> {
    let lab = Lab::start()?;
    let hosts = steps::Hosts::of(&lab);
    steps::dial(&hosts, 0, 1)?;
    let process = lab.process.as_ref().expect("the lab runs");
    process.wait_for_all(&["APNs stand-in answered 200: voip", "FCM stand-in answered 200: project"])?;
    Ok(())
}

#[test]
fn step_8_administer() -> Result<()> {
    let lab = Lab::start()?;
    steps::administer(&steps::Hosts::of(&lab))
}

#[test]
fn wxcadm_drives_profile_directory_calls_and_events() -> Result<()> {
    let lab = Lab::start()?;
    let file = lab.data_dir.join("description.json");
    std::fs::write(&file, lab.description.to_string())?;
    let output = Command::new(python()?)
        .arg(repository().join("tests/clients/wxcadm_steps.py"))
        .arg(&file)
        .output()?;
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
