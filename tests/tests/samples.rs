//! What lies in `config/` and `deploy/` works as it is.

use anyhow::{Context as _, Result};
use openadp_suite::{binary, repository};
use std::process::Command;

fn files(folder: &str, extension: &str) -> Result<Vec<std::path::PathBuf>> {
    let folder = repository().join(folder);
    let mut found: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "nothing in {}", folder.display());
    Ok(found)
}

#[test]
fn every_sample_of_settings_is_accepted_by_a_fresh_installation() -> Result<()> {
    for file in files("config", "adpcli")? {
        let folder = tempfile::tempdir()?;
        let output = Command::new(binary("adpcli"))
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("-f")
            .arg(&file)
            .stdin(std::process::Stdio::null())
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}: {printed}{}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let commands =
            std::fs::read_to_string(&file)?.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).count();
        assert_eq!(printed.matches("...Done").count(), commands, "{}: {printed}", file.display());
    }
    Ok(())
}

#[test]
fn the_sample_host_configuration_is_understood() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = std::fs::read_to_string(repository().join("config/adp.toml"))?;
    let data_dir = folder.path().join("data");
    let ours = text.replace("/var/lib/openadp", data_dir.to_str().context("path")?);
    let file = folder.path().join("adp.toml");
    std::fs::write(&file, ours)?;
    let output =
        Command::new(binary("adp")).args(["run", "--check-config", "--config"]).arg(&file).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A word that means nothing is refused before anything starts.
    std::fs::write(&file, "aplications = []\n")?;
    let output =
        Command::new(binary("adp")).args(["run", "--check-config", "--config"]).arg(&file).output()?;
    assert_eq!(output.status.code(), Some(78), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn units_are_valid_and_hardened() -> Result<()> {
    for file in files("deploy/systemd", "service")? {
        let text = std::fs::read_to_string(&file)?;
        for must in [
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "UMask=0077",
            "SystemCallFilter=",
            "--check-config",
        ] {
            assert!(text.contains(must), "{}: no {must}", file.display());
        }
        // Where systemd's own checker is installed, it has the last word on the exposure score.
        let Ok(output) = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
            .arg(&file)
            .output()
        else {
            continue;
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {printed}", file.display());
    }
    Ok(())
}
