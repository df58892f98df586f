//! `ClusterMap> get`: asks the federation service, shows what it answers, and so proves that it can be reached.

use crate::config::{Config, Purpose};
use crate::exchange::Exchange;
use crate::federation;
use crate::grants::Grants;
use crate::state::{self, Cluster, FederationState};
use openadp_appserver::Clock;
use openadp_settings::{Action, ActionContext, ActionOutput, Problem, Problems, Registry, Store};
use openadp_tls::{ClientUse, Tls};
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Commands of `ClusterMap`.
pub(crate) const CLUSTER_MAP_ACTIONS: &[Action] = &[Action {
    name: "get",
    help: "Asks the federation service and lists the identity providers that it knows. Where it does not answer, tells why, \
           and which answer is still in use.",
    arguments: &[],
    run: get,
}];

/// The time of the command.
struct At(OffsetDateTime);

impl Clock for At {
    fn now(&self) -> OffsetDateTime {
        self.0
    }
}

fn get(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let problem = |reason: String| Problem::new(context.context.full_path(), reason);
    let Some(config) = Config::of(context.snapshot, Purpose::Users).federation else {
        let problem = problem("no federation service is configured".to_owned());
        return Err(problem
            .hint("it takes enabled, issuerUrl and clientId of Cisco, and flsUrl of Federation")
            .into());
    };
    // A store of its own: a refresh token that is replaced must be on disk before the access token is used.
    let modules = [crate::MODULE, openadp_outgoing::MODULE, openadp_tls::MODULE];
    let store = Registry::new(modules)
        .map_err(|error| error.to_string())
        .and_then(|registry| Store::open(context.data_dir, registry).map_err(|error| error.to_string()))
        .map_err(&problem)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| problem(error.to_string()))?;
    let outcome = runtime.block_on(async {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let tls = Tls::new(store.clone(), context.data_dir);
        let source =
            Arc::new(move || tls.client_config(ClientUse::HTTP.strict()).map_err(std::io::Error::other));
        let ticks: super::exchange::Ticks = Arc::new(tokio::time::Instant::now);
        let exchange =
            Arc::new(Exchange::new(&store, source, ticks.clone(), tasks.clone(), shutdown.clone()));
        let grants = Grants::new(store.clone(), Arc::new(At(context.now)), exchange.clone(), ticks);
        let outcome = federation::fetch(&exchange, &grants, &config).await;
        shutdown.cancel();
        tasks.close();
        outcome
    });
    let now = context.now.unix_timestamp();
    let known = state::federation(context.data_dir);
    let state = federation::after(known, config.url.as_str(), now, &outcome);
    state::put_federation(context.data_dir, &state)
        .map_err(|error| problem(format!("keeping the answer: {error}")))?;
    match outcome {
        Ok(_) => Ok(ActionOutput { lines: listing(&state, now), query: true, ..ActionOutput::default() }),
        Err(fault) => {
            let mut reason = fault.text;
            if !reason.contains(config.url.as_str()) {
                reason = format!("{}: {reason}", config.url);
            }
            let problem = problem(reason);
            Err(match state.fetched {
                Some(fetched) => problem.hint(format!(
                    "the answer of {} ({}) stays in use: {}",
                    date(fetched),
                    ago(now - fetched),
                    state
                        .clusters
                        .iter()
                        .map(|cluster| cluster.issuer.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                )),
                None => {
                    problem.hint("there is no earlier answer; the configured issuer is taken all the same")
                }
            }
            .into())
        }
    }
}

fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} seconds ago", seconds.max(0)),
        120..7200 => format!("{} minutes ago", seconds / 60),
        7200..172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// The table, as `get` of any table, then its age and the last error.
fn listing(state: &FederationState, now: i64) -> Vec<String> {
    let header = ["Name", "Issuer", "URL"];
    let rows: Vec<[&str; 3]> = state
        .clusters
        .iter()
        .map(|Cluster { name, issuer, url }| [name.as_str(), issuer.as_str(), url.as_str()])
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[&str]| -> String {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {}", padded.join("  ")).trim_end().to_owned()
    };
    let mut lines = vec![line(&header), "=".repeat(widths.iter().sum::<usize>() + 2 * widths.len())];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.push(String::new());
    lines.push(match rows.len() {
        1 => "1 entry found.".to_owned(),
        count => format!("{count} entries found."),
    });
    if let Some(fetched) = state.fetched {
        lines.push(format!("Answered {} by {}.", ago(now - fetched), state.url));
    }
    if let (Some(error), Some(failed)) = (&state.error, state.failed) {
        lines.push(format!("Last error, {} ({}): {error}", date(failed), ago(now - failed)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_has_age_and_last_error() {
        let state = FederationState {
            url: "https://cifls.webex.com/federation".into(),
            clusters: vec![Cluster {
                name: "US-A".into(),
                issuer: "https://idbroker.webex.com/idb".into(),
                url: "https://idbroker.webex.com/idb".into(),
            }],
            fetched: Some(1_795_255_200),
            error: Some("connection refused".into()),
            failed: Some(1_795_251_600),
        };
        assert_eq!(
            listing(&state, 1_795_255_500),
            [
                "  Name  Issuer                          URL",
                "======================================================================",
                "  US-A  https://idbroker.webex.com/idb  https://idbroker.webex.com/idb",
                "",
                "1 entry found.",
                "Answered 5 minutes ago by https://cifls.webex.com/federation.",
                "Last error, 2026-11-21T09:00:00Z (65 minutes ago): connection refused",
            ]
        );
    }
}
