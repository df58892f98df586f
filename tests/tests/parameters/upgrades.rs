//! `ADP_CLI/Maintenance/Tools`, `Patching` and `ADP_CLI/System/Licensing`: what operators ask about releases and licenses.

use anyhow::{Result, ensure};
use openadp_suite::{Effects, Lab, python};
use std::process::{Command, Output};

const STORE: &str = "ADP_CLI/System/Licensing/LicenseManager/LicenseStore";

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// With single blanks between words.
fn plain(printed: &str) -> String {
    printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn licenses() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/upgrades.rs::licenses");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("Site-License.zip");
    let make = |content: &str| -> Result<()> {
        let script = "import sys, zipfile\n\
            with zipfile.ZipFile(sys.argv[1], 'w') as archive:\n\
            \x20   archive.writestr('license.txt', sys.argv[2])\n\
            \x20   archive.writestr('signature.bin', b'x' * 100)";
        let made = Command::new(python()?).args(["-c", script]).arg(&file).arg(content).status()?;
        ensure!(made.success(), "no archive");
        Ok(())
    };
    let sum = || -> Result<String> {
        let output = Command::new("sha256sum").arg(&file).output()?;
        Ok(text(&output).split_whitespace().next().unwrap_or_default().to_owned())
    };
    make("users = 10")?;
    let import = format!("import {}", file.display());
    let first = sum()?;
    effects.with(STORE, &["name", "entries", "imported", "sha256"], &import, || {
        let table = plain(&lab.administer(&[&format!("{STORE}> get")])?);
        ensure!(table.contains("Site-License.zip license.txt, signature.bin 20"), "{table}");
        ensure!(table.contains(&first) && table.contains("1 entry found."), "{table}");
        let kept = std::fs::read(lab.data_dir.join(format!("licenses/{first}.zip")))?;
        ensure!(kept == std::fs::read(&file)?, "it is not kept as it came");
        Ok(())
    })?;
    // A newer file of the same name takes its place, and the operator is told that it changes nothing.
    make("users = 20")?;
    let printed = lab.administer(&[&format!("{STORE}> {import}")])?;
    ensure!(printed.contains("...Done [") && printed.contains("changes nothing"), "{printed}");
    let table = plain(&lab.administer(&[&format!("{STORE}> get")])?);
    ensure!(
        !table.contains(&first) && table.contains(&sum()?) && table.contains("1 entry found."),
        "{table}"
    );
    let shown = lab.administer(&["ADP_CLI/System/Licensing> get"])?;
    ensure!(shown.contains("licenseRequired = false") && shown.contains("filesKept = 1"), "{shown}");
    // What is no license file is refused.
    std::fs::write(&file, "no archive")?;
    let refused = lab.adpcli(&[&format!("{STORE}> {import}")])?;
    ensure!(!refused.status.success() && text(&refused).contains("is no zip archive"), "{}", text(&refused));
    effects.run(STORE, "delete Site-License.zip")?;
    ensure!(lab.administer(&[&format!("{STORE}> get")])?.contains("0 entry found."));
    effects.finish()
}

#[test]
fn an_upgrade_is_looked_at_before_it_is_made() -> Result<()> {
    let lab = Lab::start()?;
    let check = |release: &str| -> Result<String> {
        Ok(plain(&lab.administer(&[&format!("ADP_CLI/Maintenance/Tools> upgradeCheck {release}")])?))
    };
    let own = lab.administer(&["qversions"])?;
    let own = own.lines().nth(2).and_then(|row| row.split_whitespace().nth(1)).unwrap_or_default().to_owned();
    let newer = check("ADP_Rel_999.0.0")?;
    for row in [
        format!("release ok 999.0.0 is newer than {own}"),
        "store settings ok whole".to_owned(),
        "store audit ok whole".to_owned(),
        "store applicationServer ok whole".to_owned(),
        "backup look there is none: Maintenance/Scheduler run backup makes one".to_owned(),
        "lock look the node serves".to_owned(),
        "999.0.0 can be installed; ".to_owned(),
    ] {
        ensure!(newer.contains(&row), "{row}: {newer}");
    }
    ensure!(
        newer.contains("disk ok") && newer.contains("processes ok to be started again after it: adp"),
        "{newer}"
    );
    let older = check("0.0.0")?;
    ensure!(older.contains("release stop") && older.contains("cannot be installed here now"), "{older}");
    ensure!(check(&own)?.contains("is this build already"), "{}", check(&own)?);
    ensure!(check("24.0_1.944")?.contains("a release of another product"), "{}", check("24.0_1.944")?);
    let refused = lab.adpcli(&["ADP_CLI/Maintenance/Tools> upgradeCheck newest"])?;
    ensure!(
        !refused.status.success() && text(&refused).contains("no name of a release"),
        "{}",
        text(&refused)
    );
    // A damaged store stands in the way.
    let log = lab.data_dir.join("settings/audit.jsonl");
    let whole = std::fs::read_to_string(&log)?;
    std::fs::write(&log, whole.replacen("\"event\":\"changed\"", "\"event\":\"refused\"", 1))?;
    let damaged = check("999.0.0")?;
    ensure!(damaged.contains("store audit stop") && damaged.contains("in the way"), "{damaged}");

    // The server's version is that of the build; another one comes with its own package.
    let objects = "ADP_CLI/Maintenance/ManagedObjects>";
    let same =
        lab.administer(&[&format!("{objects} set activeSoftwareVersion server ADP ADP_Rel_{own};y")])?;
    ensure!(same.contains(&format!("...Done [this build is {own}]")), "{same}");
    let unasked = lab.adpcli(&[&format!("{objects} set activeSoftwareVersion server ADP {own}")])?;
    ensure!(text(&unasked).contains("it needs a confirmation"), "{}", text(&unasked));
    let other = lab.adpcli(&[&format!("{objects} set activeSoftwareVersion server ADP 2022.11_1.273;y")])?;
    ensure!(
        !other.status.success() && text(&other).contains("upgradeCheck 2022.11_1.273"),
        "{}",
        text(&other)
    );

    // There are no bundles of patches, which is said in the form that is known.
    let listed = lab.administer(&["ADP_CLI/Maintenance/Patching> listBundle"])?;
    ensure!(listed.contains("0 entry found.") && listed.contains("no bundles"), "{listed}");
    let detail = lab.adpcli(&["ADP_CLI/Maintenance/Patching> detail AP.x.1"])?;
    ensure!(
        !detail.status.success() && text(&detail).contains("Entry not found: AP.x.1"),
        "{}",
        text(&detail)
    );
    Ok(())
}
