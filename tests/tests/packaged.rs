//! Man pages and the completion of shells, made from the flags of the binaries: `docs/man` and `deploy/completions` are current,
//! and a real shell completes with them.
//!
//! `UPDATE_GOLDEN=1 cargo nextest run -p openadp-suite --test packaged` writes them anew.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{binary, repository};
use std::path::PathBuf;
use std::process::Command;

const BINARIES: [&str; 7] = ["adp", "adpcli", "authservice", "cti", "dms", "nps", "xsi"];
/// Of `adp`.
const SUBCOMMANDS: [&str; 3] = ["lab", "run", "stand-ins"];

fn made(name: &str, words: &[&str]) -> Result<String> {
    // Without the caller's own settings, which pages would name.
    let output = Command::new(binary(name)).arg("--generate").args(words).env_clear().output()?;
    ensure!(output.status.success(), "{name} --generate {words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Every file with its content.
fn files() -> Result<Vec<(PathBuf, String)>> {
    let (man, completions) = (repository().join("docs/man"), repository().join("deploy/completions"));
    let mut files = Vec::new();
    for name in BINARIES {
        files.push((man.join(format!("{name}.1")), made(name, &["man"])?));
        files.push((completions.join(format!("{name}.bash")), made(name, &["bash"])?));
        files.push((completions.join(format!("_{name}")), made(name, &["zsh"])?));
        files.push((completions.join(format!("{name}.fish")), made(name, &["fish"])?));
    }
    for subcommand in SUBCOMMANDS {
        files.push((man.join(format!("adp-{subcommand}.1")), made("adp", &["man", subcommand])?));
    }
    Ok(files)
}

#[test]
fn man_pages_and_completions_are_current() -> Result<()> {
    let files = files()?;
    #[expect(clippy::disallowed_methods, reason = "the documented switch that rewrites golden files")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        for (path, content) in &files {
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            std::fs::write(path, content)?;
        }
    }
    for (path, content) in &files {
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        ensure!(kept == *content, "{} is stale: UPDATE_GOLDEN=1 writes it anew", path.display());
    }
    for folder in ["docs/man", "deploy/completions"] {
        for entry in std::fs::read_dir(repository().join(folder))? {
            let path = entry?.path();
            ensure!(files.iter().any(|(known, _)| *known == path), "{} is of no binary", path.display());
        }
    }
    Ok(())
}

#[test]
fn bash_completes_with_them() -> Result<()> {
    for (name, typed, expected) in
        [("adpcli", "--da", "--data-dir"), ("adp", "la", "lab"), ("xsi", "--check", "--check-config")]
    {
        let script = format!(
            "source deploy/completions/{name}.bash && COMP_WORDS=({name} {typed}) COMP_CWORD=1 && \
             _{name} {name} {typed} {name} && echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["-c", &script]).current_dir(repository()).output()?;
        let completed = String::from_utf8_lossy(&output.stdout);
        ensure!(completed.trim() == expected, "{name} {typed}: {output:?}");
    }
    Ok(())
}
