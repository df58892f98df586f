//! Commands that act on what the application server holds, rather than on settings: subscribers, their devices and
//! registrations, how calls are led, event channels and what goes over them. They run in a host or in the CLI itself; either way they work on the
//! store of the data directory, as every process of the node does.

mod call_centers;
mod devices;
mod diagnostics;
mod events;
mod lists;
mod messages;
mod registrations;
mod running;
mod sip;
mod subscribers;
mod table;

pub use call_centers::CallCenters;
pub use devices::IpDeviceMgmt;
pub use diagnostics::Diag;
pub use events::{ChannelSets, Channels, Events, Subscriptions};
pub use lists::{CustomDirectories, PhoneLists};
pub use messages::VoiceMail;
pub use registrations::Contacts;
pub use running::Calls;
pub use subscribers::{Administrators, Groups, ServiceProviders, Users};

use crate::db::{FEED, SUBSCRIPTIONS};
use crate::{MODULE, Options, Provisioning, Shared};
use openadp_appserver::{PortError, PortResult, SystemClock};
use openadp_settings::{ActionContext, ActionOutput, Problem, Problems, Registry, Store};
use openadp_wake::Wake;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What an action comes to.
type Done = Result<ActionOutput, Problems>;

/// Opens the store of the data directory for one command and does something with it. Actions are not asynchronous and may be
/// run by a thread of a runtime, so this has a thread and a runtime of its own.
fn with_store<T, F, R>(context: &ActionContext<'_>, work: F) -> Result<T, Problems>
where
    T: Send,
    F: FnOnce(Arc<Shared>) -> R + Send,
    R: Future<Output = PortResult<T>>,
{
    let fault = |reason: String| Problems::from(Problem::new(context.context.full_path(), reason));
    let data_dir = context.data_dir;
    let run = || -> Result<T, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let registry = Registry::new([MODULE]).map_err(|error| Fault::Store(error.to_string()))?;
        let settings = Store::open(data_dir, registry).map_err(|error| Fault::Store(error.to_string()))?;
        runtime.block_on(async {
            let tasks = TaskTracker::new();
            let shared = Shared::open(Options {
                data_dir: data_dir.to_owned(),
                wake: Wake::in_process(),
                clock: Arc::new(SystemClock),
                settings,
                tasks: tasks.clone(),
                shutdown: CancellationToken::new(),
                push_sender: None,
            })
            .await
            .map_err(|error| Fault::Store(error.to_string()))?;
            let result = work(shared.clone()).await;
            tasks.close();
            tasks.wait().await;
            shared.db.close().await;
            result.map_err(Fault::Port)
        })
    };
    let result = std::thread::scope(|scope| scope.spawn(run).join());
    let value = match result {
        Ok(Ok(value)) => value,
        Ok(Err(Fault::Port(error))) => return Err(refused(context, &error)),
        Ok(Err(Fault::Store(reason))) => return Err(fault(reason)),
        Ok(Err(Fault::Runtime(error))) => return Err(fault(error.to_string())),
        Err(_) => return Err(fault("the command ended early".to_owned())),
    };
    for topic in [FEED, SUBSCRIPTIONS] {
        // Without it the other processes see it at their next look.
        if let Err(error) = Wake::notify_once(context.data_dir, topic) {
            tracing::debug!(%error, "nobody was told");
        }
    }
    Ok(value)
}

/// Why a command could not do its work.
enum Fault {
    Port(PortError),
    Runtime(std::io::Error),
    Store(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Runtime(error)
    }
}

/// The operator's words for what the store refused; scripts look for two of them (cli.md 3.5).
fn refused(context: &ActionContext<'_>, error: &PortError) -> Problems {
    let path = context.context.full_path();
    match error {
        PortError::NotFound { what } => Problem::new(path, format!("Entry not found: {what}")),
        PortError::Conflict { what } => {
            Problem::new(path, format!("entry is already present in list: {what}"))
        }
        PortError::Invalid { field, reason } => Problem::new(path, reason.clone()).parameter(*field),
        PortError::Unavailable(_) => {
            Problem::new(path, "the application server is busy").hint("the same command once more")
        }
        error => Problem::new(path, error.to_string()),
    }
    .into()
}

/// An argument by its place, where it was given.
fn argument(arguments: &[Option<String>], index: usize) -> Option<&str> {
    arguments.get(index).and_then(Option::as_deref)
}

/// An argument that the language asks for.
fn needed(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
    index: usize,
) -> Result<String, Problems> {
    argument(arguments, index).map(str::to_owned).ok_or_else(|| {
        let name = context
            .context
            .actions
            .iter()
            .find_map(|action| action.arguments.get(index))
            .map_or("an argument", |parameter| parameter.name);
        Problem::new(context.context.full_path(), "is missing").parameter(name).into()
    })
}

/// Lines of a pure query.
fn query(lines: Vec<String>) -> ActionOutput {
    ActionOutput { lines, query: true, ..ActionOutput::default() }
}

/// Provisioning on this store.
fn provisioning(shared: Arc<Shared>) -> Provisioning {
    Provisioning::new(shared)
}
