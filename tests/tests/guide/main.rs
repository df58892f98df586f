//! The public deployment guide, fed to `adpcli` as operators feed it: command by command, as a file, and typed in a terminal,
//! each on a fresh installation and on a fresh lab.
//!
//! `tests/guide/guide-commands.txt` has the commands and what each must print. `tests/guide/missing.txt` lists by line those
//! that do not pass yet; a run fails when one that is not listed fails, and when one that is listed passes. So the list only
//! shrinks: `UPDATE_GOLDEN=1` takes out what passes.
//!
//! Every process of a run can ask one name server only, ours, which knows no name. The outside names of the guide lead to local
//! stand-ins by the settings; that nothing was looked up at all is what each run ends with.

mod fixtures;
mod missing;
mod script;
mod ways;

use anyhow::{Context as _, Result, ensure};
use fixtures::Fixtures;
use missing::Missing;
use openadp_suite::{Lab, Resolver, Running, binary};
use script::Script;
use std::path::Path;
use std::process::Command;
use ways::Way;

/// Runs the guide and compares what fails with what is known to.
#[expect(clippy::print_stdout, reason = "the count is for whoever reads the log")]
fn run(way: Way, place: &str, data_dir: &Path, names: &Resolver) -> Result<()> {
    let fixtures = Fixtures::make(data_dir)?;
    let script = Script::read(&fixtures)?;
    let outcomes = way.run(&script, data_dir, names)?;
    ensure!(outcomes.len() == script.commands.len(), "{} commands ran", outcomes.len());
    let mut failures = Vec::new();
    for (command, outcome) in script.commands.iter().zip(&outcomes) {
        if let Err(reason) = command.check(outcome) {
            failures.push((command.line, format!("{}\n  {reason}\n{}", command.text, outcome.output)));
        }
    }
    let passed = script.commands.len() - failures.len();
    println!("guide: {passed} of {} commands pass, {} on {place}", script.commands.len(), way.name());
    Missing::read()?.compare(&format!("{}/{place}", way.name()), &script, &failures)
}

fn on_a_fresh_installation(way: Way) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().join("data");
    let names = Resolver::start()?;
    let outside = Outside::of(&data_dir, &names)?;
    run(way, "installation", &data_dir, &names)?;
    outside.close(&data_dir, &names)?;
    none_was_looked_up(&names)
}

/// No outside name may be looked up: all lead to stand-ins.
fn none_was_looked_up(names: &Resolver) -> Result<()> {
    let asked = names.take();
    ensure!(asked.is_empty(), "names were looked up outside: {asked:?}");
    Ok(())
}

/// The identity cloud that a fresh installation meets: another lab's stand-in, to which the outside names lead.
struct Outside {
    stand_ins: Running,
    _lab: Lab,
}

const CLUSTER_MAP: &str =
    "ADP_CLI/Applications/AuthService/IdentityProviders/Cisco/Federation/ClusterMap> get";

impl Outside {
    fn of(data_dir: &Path, names: &Resolver) -> Result<Self> {
        let lab = Lab::seed()?;
        let mut command = Command::new(binary("adp"));
        command.arg("stand-ins").arg("--data-dir").arg(&lab.data_dir);
        let stand_ins = Running::start(names.around(command))?;
        stand_ins.wait_for("The stand-ins are ready")?;
        let url = lab.description["identity_cloud"]["url"].as_str().context("an identity cloud")?;
        let port = url.rsplit(':').next().context("a port")?.trim_end_matches('/');
        let mut cli = Command::new(binary("adpcli"));
        cli.arg("--data-dir").arg(data_dir);
        cli.arg("-c").arg(format!(
            "ADP_CLI/System/SSLCommonSettings/Trusts/BroadWorks> updateTrust stand-in {}",
            lab.ca().display()
        ));
        let table = "ADP_CLI/System/CommunicationUtility/DefaultSettings/OutgoingNames";
        for name in ["idbroker.webex.com", "cifls.webex.com", "broadworks-idp-proxy-a.wbx2.com"] {
            cli.arg("-c").arg(format!("{table}> add {name} 127.0.0.1 port {port}"));
        }
        let output = names.around(cli).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(Self { stand_ins, _lab: lab })
    }

    /// Without it, the list of identity providers tells which URL does not answer and why, and which answer is still in use.
    fn close(mut self, data_dir: &Path, names: &Resolver) -> Result<()> {
        self.stand_ins.kill()?;
        let mut cli = Command::new(binary("adpcli"));
        cli.arg("--data-dir").arg(data_dir).args(["-c", CLUSTER_MAP]);
        let output = names.around(cli).output()?;
        let printed = String::from_utf8(output.stdout)?;
        ensure!(output.status.code() == Some(1), "{:?}: {printed}", output.status);
        for expected in [
            "https://cifls.webex.com/federation: ",
            "refused",
            "stays in use: https://idbroker.webex.com/idb",
        ] {
            ensure!(printed.contains(expected), "no '{expected}': {printed}");
        }
        Ok(())
    }
}

/// On a lab; afterwards a token of before and a new one are still good for a profile.
fn on_a_fresh_lab(way: Way) -> Result<()> {
    let names = Resolver::start()?;
    let lab = Lab::start_behind(names.prefix())?;
    let hosts = steps::Hosts::of(&lab);
    let before = steps::sign_in(&hosts)?;
    run(way, "lab", &lab.data_dir, &names)?;
    let after = steps::sign_in(&hosts)?;
    for token in [before, after] {
        steps::use_token(&hosts, &token).context("after the guide")?;
    }
    none_was_looked_up(&names)
}

#[path = "../steps/mod.rs"]
#[expect(dead_code, reason = "the guide needs two of the steps")]
mod steps;

#[test]
fn each_command_by_itself_on_a_fresh_installation() -> Result<()> {
    on_a_fresh_installation(Way::Each { slash: false })
}

#[test]
fn each_command_by_itself_on_a_fresh_lab() -> Result<()> {
    on_a_fresh_lab(Way::Each { slash: true })
}

#[test]
fn as_one_file_on_a_fresh_installation() -> Result<()> {
    on_a_fresh_installation(Way::File)
}

#[test]
fn as_one_file_on_a_fresh_lab() -> Result<()> {
    on_a_fresh_lab(Way::File)
}

#[test]
fn typed_in_a_terminal_on_a_fresh_installation() -> Result<()> {
    on_a_fresh_installation(Way::Terminal)
}

#[test]
fn typed_in_a_terminal_on_a_fresh_lab() -> Result<()> {
    on_a_fresh_lab(Way::Terminal)
}

/// The lists of suites that come with the guide: the default one is there from the first start, and every recommended name
/// is taken.
#[test]
fn the_published_cipher_names_are_known() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let adpcli = |line: &str| -> Result<String> {
        let output = Command::new(binary("adpcli"))
            .arg("--data-dir")
            .arg(folder.path())
            .args(["-c", line])
            .output()?;
        let printed = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{line}: {printed}");
        Ok(printed)
    };
    let level = "ADP_CLI/System/SSLCommonSettings";
    let shown = adpcli(&format!("{level}/JSSE/Ciphers> get"))?;
    let shown: Vec<&str> = shown.lines().map(str::trim).filter(|line| line.starts_with("TLS_")).collect();
    let default = fixtures::data("ciphers-default.txt")?;
    ensure!(shown == default.lines().collect::<Vec<_>>(), "the default list, in its order: {shown:?}");
    for name in fixtures::data("ciphers-recommended.txt")?.lines().filter(|line| line.starts_with("TLS_")) {
        adpcli(&format!("{level}/OpenSSL/Ciphers> add {name}"))?;
    }
    Ok(())
}
