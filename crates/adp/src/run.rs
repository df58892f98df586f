//! `adp run`: any set of applications in one process.

use crate::hosted;
use clap::Args;
use openadp_daemon::{CommonArgs, ErrorChain, Exit, Filter, Node, NodeOptions, Process, supervise};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flags of `adp run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    common: CommonArgs,

    /// Host configuration; flags given beside it win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// What to host: authservice, xsi, cti, dms, nps (may be repeated, or separated by commas)
    #[arg(long = "application", value_name = "NAME", value_delimiter = ',')]
    applications: Vec<String>,
}

/// The host configuration: what is needed to find the store and to say what this process hosts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostConfiguration {
    data_dir: Option<PathBuf>,
    #[serde(default)]
    applications: Vec<String>,
    #[serde(default)]
    interfaces: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
enum ConfigurationError {
    #[error("cannot read the host configuration {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: {reason}")]
    Parse { path: PathBuf, reason: String },
    #[error("nothing to host: name applications with --application or in --config ({})", known())]
    Nothing,
    #[error("there is no application '{name}' ({})", known())]
    Unknown { name: String },
}

fn known() -> String {
    hosted::names().collect::<Vec<_>>().join(", ")
}

/// Runs `adp run`.
pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    let options = options(arguments);
    let check_only = arguments.common.check_config;
    supervise(&arguments.common, move |process| async move {
        match options {
            Ok(options) if check_only => check(options).await,
            Ok(options) => serve(options, process).await,
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "the configuration cannot be used");
                Exit::Configuration
            }
        }
    })
}

fn options(arguments: &RunArguments) -> Result<NodeOptions, ConfigurationError> {
    let file = match &arguments.config {
        Some(path) => read(path)?,
        None => HostConfiguration::default(),
    };
    // The flag has a default, so the file's folder counts unless the flag (or its variable) names another.
    let default = Path::new("/var/lib/openadp");
    let data_dir = match file.data_dir {
        Some(from_file) if arguments.common.data_dir == default => from_file,
        _ => arguments.common.data_dir.clone(),
    };
    let mut options = NodeOptions::new("adp", data_dir);
    options.modules = hosted::modules();
    options.metrics = arguments.common.metrics.or(file.metrics);
    let interfaces = if arguments.common.interfaces.is_empty() {
        file.interfaces
    } else {
        arguments.common.interfaces.clone()
    };
    if !interfaces.is_empty() {
        options.filter = Filter::Only(interfaces);
    }
    let names =
        if arguments.applications.is_empty() { file.applications } else { arguments.applications.clone() };
    for name in &names {
        if !hosted::add(&mut options, name) {
            return Err(ConfigurationError::Unknown { name: name.clone() });
        }
    }
    if names.is_empty() {
        return Err(ConfigurationError::Nothing);
    }
    Ok(options)
}

fn read(path: &Path) -> Result<HostConfiguration, ConfigurationError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|error| ConfigurationError::Parse { path: path.to_owned(), reason: error.to_string() })
}

async fn check(options: NodeOptions) -> Exit {
    match Node::prepare(options).await {
        Ok(prepared) => {
            prepared.discard().await;
            tracing::info!("the configuration can be used");
            Exit::Clean
        }
        Err(error) => {
            tracing::error!(error = %ErrorChain(&error), "the configuration cannot be used");
            error.exit()
        }
    }
}

async fn serve(options: NodeOptions, process: Process) -> Exit {
    match Node::start(options).await {
        Ok(node) => {
            process.follow_log_settings(node.store());
            process.ready();
            node.run_until_shutdown(process.soft, process.hard).await
        }
        Err(error) => {
            tracing::error!(error = %ErrorChain(&error), "cannot start");
            error.exit()
        }
    }
}
