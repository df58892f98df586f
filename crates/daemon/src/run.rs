//! The life of a process from its flags to its exit code.

use crate::ErrorChain;
use crate::args::CommonArgs;
use crate::exit::Exit;
use crate::node::Node;
use crate::notify::Notifier;
use crate::options::{NodeOptions, ServerSpec};
use crate::telemetry::Telemetry;
use clap::{Args, Command, FromArgMatches};
use openadp_listener::Filter;
use openadp_settings::Store;
use openadp_webcontainer::ApplicationSpec;
use std::future::Future;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Time that the runtime gets to stop its blocking threads at the very end.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// A binary: a name and what it hosts.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it is, for `--help`.
    pub about: &'static str,
    /// HTTP applications.
    pub applications: &'static [ApplicationSpec],
    /// The CTI server.
    pub servers: &'static [ServerSpec],
}

/// What [`supervise`] gives to the process's work.
pub struct Process {
    /// Cancelled by the first signal, or the parent's end: drain and end.
    pub soft: CancellationToken,
    /// Cancelled by the second signal: end now.
    pub hard: CancellationToken,
    telemetry: Arc<Telemetry>,
    notifier: Arc<Notifier>,
}

impl Process {
    /// Tells the service manager that everything is up, and goes on telling that it lives.
    pub fn ready(&self) {
        self.notifier.send("READY=1");
        if let Some(every) = self.notifier.watchdog() {
            let (notifier, hard) = (self.notifier.clone(), self.hard.clone());
            detached(async move {
                loop {
                    notifier.send("WATCHDOG=1");
                    tokio::select! {
                        () = hard.cancelled() => return,
                        () = tokio::time::sleep(every) => {}
                    }
                }
            });
        }
    }

    /// Lets the log follow the settings.
    pub fn follow_log_settings(&self, store: &Store) {
        let (telemetry, data_dir) = (self.telemetry.clone(), store.data_dir().to_owned());
        store.follow(move |snapshot| telemetry.apply(snapshot, &data_dir));
    }
}

/// Runs a program with the flags of this process: all of `main`.
pub fn run(program: Program) -> ExitCode {
    let command = CommonArgs::augment_args(
        Command::new(program.name).about(program.about).version(env!("CARGO_PKG_VERSION")),
    );
    if let Some(code) = crate::generate(&command, std::env::args_os()) {
        return code;
    }
    let parsed = command.try_get_matches().and_then(|matches| CommonArgs::from_arg_matches(&matches));
    match parsed {
        Ok(args) => run_with(program, &args),
        Err(error) => usage(&error),
    }
}

/// Prints what clap has to say, and gives the exit code that goes with it.
pub fn usage(error: &clap::Error) -> ExitCode {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Clean };
    // Nobody reads it: nothing is left to do.
    let _printed = error.print();
    exit.into()
}

/// Runs a program with flags that were parsed already.
pub fn run_with(program: Program, args: &CommonArgs) -> ExitCode {
    let mut options = NodeOptions::new(program.name, &args.data_dir);
    options.applications = program.applications.to_vec();
    options.servers = program.servers.to_vec();
    options.metrics = args.metrics;
    if !args.interfaces.is_empty() {
        options.filter = Filter::Only(args.interfaces.clone());
    }
    let check_only = args.check_config;
    supervise(args, move |process| async move {
        if check_only { check(options).await } else { serve(options, process).await }
    })
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
    let node = tokio::select! {
        started = Node::start(options) => match started {
            Ok(node) => node,
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "cannot start");
                return error.exit();
            }
        },
        () = process.soft.cancelled() => return Exit::Clean,
    };
    process.follow_log_settings(node.store());
    process.ready();
    node.run_until_shutdown(process.soft, process.hard).await
}

/// Runs a process's work with log, TLS provider, runtime and signals; for programs that compose more than a [`Program`].
pub fn supervise<W, F>(args: &CommonArgs, work: W) -> ExitCode
where
    W: FnOnce(Process) -> F + Send + 'static,
    F: Future<Output = Exit> + Send + 'static,
{
    // Files and sockets are for this user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let telemetry = Arc::new(Telemetry::start(args.log_format, args.log_level));
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed already");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::Internal.into();
        }
    };
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let notifier = Arc::new(Notifier::from_environment());
    if args.exit_with_parent {
        end_with_parent(soft.clone());
    }
    let exit = runtime.block_on(async {
        if let Err(error) = listen_to_signals(&soft, &hard, &notifier) {
            tracing::error!(%error, "no signals");
            return Exit::Internal;
        }
        let process = Process { soft, hard: hard.clone(), telemetry: telemetry.clone(), notifier };
        let mut working = tokio::task::JoinSet::new();
        working.spawn(work(process));
        match working.join_next().await {
            Some(Ok(exit)) => exit,
            Some(Err(_panicked)) => Exit::Internal,
            None => Exit::Internal,
        }
    });
    hard.cancel();
    runtime.shutdown_timeout(RUNTIME_END);
    tracing::info!(code = exit.code(), notice = true, "end");
    telemetry.finish();
    exit.into()
}

/// The first signal asks for a drain, the second ends it.
fn listen_to_signals(
    soft: &CancellationToken,
    hard: &CancellationToken,
    notifier: &Arc<Notifier>,
) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (soft, hard, notifier) = (soft.clone(), hard.clone(), notifier.clone());
    detached(async move {
        loop {
            tokio::select! {
                biased; // a hang-up is noted before a signal that ends this loop
                _ = hangup.recv() => {
                    tracing::info!("hang-up ignored: every setting applies while the process runs");
                    continue;
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = soft.cancelled(), if !soft.is_cancelled() => {
                    notifier.send("STOPPING=1");
                    continue;
                }
            }
            if soft.is_cancelled() {
                tracing::warn!("second signal: ending now");
                hard.cancel();
                return;
            }
            notifier.send("STOPPING=1");
            soft.cancel();
        }
    });
    Ok(())
}

/// A thread of its own, since a read of the standard input cannot be cancelled.
fn end_with_parent(soft: CancellationToken) {
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        let mut input = std::io::stdin().lock();
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        tracing::info!("the parent process is gone");
        soft.cancel();
    });
}

/// Tasks of the process itself, which live as long as its runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "they end with the runtime; nothing waits for them at shutdown"
)]
fn detached(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
