//! The lab: the whole suite on loopback, with people in it.
//!
//! `prepare` makes it (under a lock, whole or not at all), `describe` tells about it, this module runs it: the host with all
//! applications but one, NotificationPushServer as a child process of its own, and the stand-ins of APNs, FCM and the
//! identity cloud.

mod describe;
mod identity;
mod people;
mod plan;
mod prepare;
mod secrets;
mod seed;
mod stand_ins;
mod traffic;

use crate::hosted;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use openadp_appserver::UserId;
use openadp_daemon::{CommonArgs, Exit, Filter, LogFormat, LogLevel, Node, NodeOptions, Process, supervise};
use plan::{Plan, Ports};
use seed::Seed;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::net::UnixDatagram;
use tokio::process::{Child, ChildStdin, Command};

/// How long NotificationPushServer's process may take to say that it is ready.
const CHILD_START: Duration = Duration::from_secs(20);
/// How long it may take to end when told to.
const CHILD_END: Duration = Duration::from_secs(15);

/// Flags of `adp lab`.
#[derive(Debug, Args)]
pub(crate) struct LabArguments {
    /// Everything that the lab writes lies below this directory
    #[arg(long, env = "ADP_DATA_DIR", value_name = "DIR", default_value = "lab-data")]
    data_dir: PathBuf,

    /// Use nine ports from this one on, in place of 8443, 8011, 8012, 9443, 9090, 9091, 9446, 9447 and 9448
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_527))]
    port_base: Option<u16>,

    /// Print URLs, accounts and files as one JSON object and end; seeds an empty directory
    #[arg(long)]
    describe: bool,

    /// Let parties from outside call in N times a second; the people answer, talk, hold, send on and hang up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    traffic: Option<u32>,

    /// Form of log lines
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,

    /// Severity of log lines
    #[arg(long, value_enum, default_value = "warn")]
    log_level: LogLevel,
}

/// Flags of `adp stand-ins`.
#[derive(Debug, Args)]
pub(crate) struct StandInsArguments {
    /// The lab's data directory
    #[arg(long, env = "ADP_DATA_DIR", value_name = "DIR", default_value = "lab-data")]
    data_dir: PathBuf,
}

/// Runs `adp lab`.
pub(crate) fn lab(arguments: &LabArguments) -> ExitCode {
    let started = Instant::now();
    let prepared = absolute(&arguments.data_dir)
        .and_then(|data_dir| prepare::prepare(&data_dir, arguments.port_base.and_then(Ports::from_base)));
    let (plan, seed) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&error),
    };
    if arguments.describe {
        return match print(&format!("{:#}\n", describe::json(&plan, &seed))) {
            Ok(()) => Exit::Clean.into(),
            Err(error) => refuse(&error),
        };
    }
    let common = common(&plan, arguments.log_format, Some(arguments.log_level));
    let traffic = arguments.traffic;
    supervise(&common, move |process| async move { finish(run(plan, seed, process, started, traffic).await) })
}

/// Runs `adp stand-ins`.
pub(crate) fn stand_ins(arguments: &StandInsArguments) -> ExitCode {
    let prepared = absolute(&arguments.data_dir).and_then(|data_dir| prepare::prepare(&data_dir, None));
    let (plan, seed) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&error),
    };
    let common = common(&plan, LogFormat::default(), None);
    supervise(&common, move |process| async move {
        finish(
            async {
                let stand_ins = stand_ins::StandIns::start(&plan, &seed).await?;
                print("The stand-ins are ready.\n")?;
                process.ready();
                process.soft.cancelled().await;
                stand_ins.stop().await;
                Ok(Exit::Clean)
            }
            .await,
        )
    })
}

fn common(plan: &Plan, log_format: LogFormat, log_level: Option<LogLevel>) -> CommonArgs {
    CommonArgs {
        data_dir: plan.data_dir.clone(),
        interfaces: Vec::new(),
        metrics: None,
        check_config: false,
        log_format,
        log_level,
        exit_with_parent: false,
    }
}

/// The absolute form of a path that may not exist yet, so that what is printed works from any folder.
fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do where even the standard error is closed.
    drop(writeln!(std::io::stderr(), "adp: {error:#}"));
    Exit::Unavailable.into()
}

fn finish(result: Result<Exit>) -> Exit {
    result.unwrap_or_else(|error| {
        drop(writeln!(std::io::stderr(), "adp: {error:#}"));
        Exit::Unavailable
    })
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read enough and left (`adp lab | head`) is no fault of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to the standard output"),
    }
}

async fn run(
    plan: Plan,
    seed: Seed,
    process: Process,
    started: Instant,
    traffic: Option<u32>,
) -> Result<Exit> {
    let Some(_running) = prepare::running_lock(&plan.data_dir)? else {
        bail!("a lab runs in {} already", plan.data_dir.display());
    };
    let stand_ins = stand_ins::StandIns::start(&plan, &seed).await?;
    let mut options = NodeOptions::new("lab", &plan.data_dir);
    for name in hosted::names().filter(|name| *name != "nps") {
        hosted::add(&mut options, name);
    }
    options.modules = hosted::modules();
    options.filter = Filter::Except(vec![Plan::address(plan.ports.nps)]);
    options.metrics = Some(Plan::address(plan.ports.metrics));
    options.lab = true;
    let (node, child) = tokio::join!(Node::start(options), start_push_server(&plan));
    let node = node.context("starting the applications")?;
    let (mut child, lifeline) = child?;
    for state in node.interfaces() {
        if let Err(reason) = state.listening {
            bail!("cannot listen on {}: {reason}; another lab? try --port-base", state.interface);
        }
    }
    let adpcli = std::env::current_exe().context("finding this program")?.with_file_name("adpcli");
    let seconds = started.elapsed().as_secs_f32();
    print(&format!(
        "{}\nThe lab is ready ({seconds:.1} s after its start). Pushes appear below. Ctrl-C ends it.\n",
        describe::text(&plan, &seed, &adpcli)
    ))?;
    process.follow_log_settings(node.store());
    process.ready();
    let traffic = match (traffic, node.application_server()) {
        (Some(per_second), Some(server)) => {
            let person = |subscriber: &seed::Subscriber| traffic::Person {
                user: UserId::new(&subscriber.user_id),
                number: subscriber.number.clone(),
            };
            let people = seed.subscribers.iter().map(person).collect();
            Some(traffic::Traffic::start(server, people, per_second).await.context("starting the traffic")?)
        }
        _ => None,
    };

    let ended = tokio::select! {
        () = process.soft.cancelled() => None,
        status = child.wait() => Some(status),
    };
    if let Some(status) = &ended {
        tracing::error!(?status, "NotificationPushServer's process ended");
    }
    if let Some(traffic) = traffic {
        traffic.stop().await;
    }
    drop(lifeline);
    let exit = node.shutdown(process.hard).await;
    if ended.is_none() && tokio::time::timeout(CHILD_END, child.wait()).await.is_err() {
        child.start_kill().context("ending NotificationPushServer's process")?;
    }
    stand_ins.stop().await;
    Ok(if ended.is_some() { Exit::Internal } else { exit })
}

/// NotificationPushServer must not share a process with the others: it gets one, which ends with this one, however it ends.
///
/// What it watches is its standard input, the second part of the result: closed, it drains. Waiting for a child closes its
/// standard input, so that is taken out first.
async fn start_push_server(plan: &Plan) -> Result<(Child, ChildStdin)> {
    // The service manager's protocol tells when the child serves; the abstract name needs no file.
    let name = format!("openadp-lab-{}", uuid::Uuid::new_v4());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).context("naming a socket")?;
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).context("opening a socket")?;
    socket.set_nonblocking(true).context("opening a socket")?;
    let socket = UnixDatagram::from_std(socket).context("opening a socket")?;

    let mut child = Command::new(std::env::current_exe().context("finding this program")?)
        .args(["run", "--application", "nps", "--exit-with-parent", "--log-level", "warn"])
        .arg("--data-dir")
        .arg(&plan.data_dir)
        .args(["--interface", &Plan::address(plan.ports.nps).to_string()])
        .args(["--metrics", &Plan::address(plan.ports.nps_metrics).to_string()])
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .env_remove("WATCHDOG_USEC")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting NotificationPushServer's process")?;
    let lifeline = child.stdin.take().context("no standard input of NotificationPushServer's process")?;
    let ready = async {
        let mut message = [0_u8; 512];
        loop {
            let length = socket.recv(&mut message).await.context("waiting for NotificationPushServer")?;
            if message.get(..length).is_some_and(|text| text.starts_with(b"READY=1")) {
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        ready = tokio::time::timeout(CHILD_START, ready) => {
            ready.context("NotificationPushServer's process did not get ready")??;
        }
        status = child.wait() => bail!("NotificationPushServer's process ended: {}", status?),
    }
    Ok((child, lifeline))
}
