//! `login`, `qversions` and `qbw`: who asks, and what is installed.

use crate::engine::{Output, Session};
use crate::failure::Failure;
use crate::show::Table;
use openadp_settings::Align;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;

/// The context that knows the applications.
const APPLICATIONS: &str = "ADP_CLI/Maintenance/ManagedObjects";

/// A release that is installed, or that a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its number.
    pub version: String,
    /// When its files came here, where that is known.
    pub installed: Option<OffsetDateTime>,
    /// Whether a process runs it.
    pub active: bool,
}

impl Session {
    /// `login userId`.
    pub(crate) fn login(&mut self, user: Option<&str>) -> Result<Output, Failure> {
        let user = user.ok_or_else(|| {
            Failure::syntax("login", "Mandatory parameter missing")
                .grammar("<userid on BroadWorks>, String {2 to 161 characters}".to_owned())
        })?;
        let operator = self.backend.login(user).map_err(|error| Failure::of("login", None, error))?;
        let json = json!({ "done": true, "command": "login", "operator": operator.name, "role": operator.rights.name() });
        Ok(Output::new(vec![format!("{} logging in...", operator.name)], json))
    }

    /// `qversions`.
    pub(crate) fn versions(&mut self) -> Result<Output, Failure> {
        let releases = self.backend.releases().map_err(|error| Failure::of("qversions", None, error))?;
        let headers = ["Identity", "Version", "Install Date", "Status"];
        let mut table = Table::new(headers.map(|header| (header.to_owned(), Align::Left)).to_vec());
        let form = format_description!("[month repr:short] [day], [year]");
        for release in &releases {
            let date = release.installed.and_then(|time| time.format(form).ok()).unwrap_or_default();
            let status = if release.active { "Active" } else { "Installed" };
            table.row(vec!["ADP".to_owned(), release.version.clone(), date, status.to_owned()]);
        }
        let release = |release: &Release| json!({ "version": release.version, "active": release.active });
        let json = json!({ "releases": releases.iter().map(release).collect::<Vec<_>>() });
        Ok(Output::new(table.lines(self.options.width), json).table(table.into_rows()))
    }

    /// `qbw`.
    pub(crate) fn applications(&mut self) -> Result<Output, Failure> {
        let failed = |error| Failure::of("qbw", None, error);
        let releases = self.backend.releases().map_err(failed)?;
        let version = releases.first().map(|release| release.version.clone()).unwrap_or_default();
        let mut lines =
            vec![format!("ADP version Rel_{version}"), String::new(), "Applications Info:".to_owned()];
        let mut rows = vec![["Name", "Version", "Context Path"].map(str::to_owned).to_vec()];
        if let Some(context) = self.registry.context(APPLICATIONS) {
            let snapshot = self.backend.snapshot(context).map_err(failed)?;
            for row in snapshot.rows_of(context) {
                let cells = context.present.map(|present| present(&snapshot, row)).unwrap_or_default();
                let cell = |header: &str| {
                    let found = cells.iter().find(|(name, _)| *name == header).map(|(_, cell)| cell.clone());
                    found.unwrap_or_default()
                };
                if cell("Status") == "Installed" {
                    continue;
                }
                let (name, version, path) = (cell("Name"), cell("Version"), cell("Context Path"));
                lines.push(format!("- {name} version {version} context path {path}"));
                rows.push(vec![name, version, path]);
            }
        }
        let names = ["name", "version", "contextPath"];
        let object =
            |row: &Vec<String>| json!(names.iter().zip(row).collect::<std::collections::BTreeMap<_, _>>());
        let json = json!({ "version": version, "applications": rows.iter().skip(1).map(object).collect::<Vec<_>>() });
        Ok(Output::new(lines, json).table(rows))
    }
}
