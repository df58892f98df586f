//! `adpcli` itself: flags, where the lines come from, exit codes. cli.md 7.1.

use crate::backend::Installation;
use crate::engine::{Flow, Format, MAX_COMMAND_FILE, Options, Session};
use crate::failure::Code;
use crate::modules;
use crate::terminal::{Terminal, Typed, read_text};
use clap::{CommandFactory as _, Parser, ValueEnum};
use openadp_appserver::{Clock as _, SystemClock};
use openadp_settings::Registry;
use openadp_settings::Settings as _;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Most bytes of a file with a secret.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// Administers an OpenADP installation.
///
/// Without a command it reads them from the terminal. Exit codes: 0 all done, 1 a command was refused, 2 syntax or an
/// unknown command, 3 no rights, 4 the installation is out of reach, 5 done, but a restart is needed (with --strict).
#[derive(Debug, Parser)]
#[command(name = "adpcli", version, about, max_term_width = 100)]
struct Arguments {
    /// A command: 'ADP_CLI/Interface/CTI/CTIServer> get'
    #[arg(conflicts_with_all = ["command", "file"])]
    line: Option<String>,
    /// A command; may be given several times
    #[arg(short, value_name = "COMMAND")]
    command: Vec<String>,
    /// A file of commands
    #[arg(short, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// Go on after a command that failed
    #[arg(short)]
    keep_going: bool,
    /// Say yes to every confirmation
    #[arg(short, long)]
    yes: bool,
    /// Check changes and show what they would do, without making them
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Accept changes although a check that may be overruled refuses them
    #[arg(long)]
    force: bool,
    /// How answers are written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// No banner, and no echo of the commands of a file
    #[arg(short, long)]
    quiet: bool,
    /// Exit with 5 when something that was done takes effect only after a restart
    #[arg(long)]
    strict: bool,
    /// What to answer when the secret NAME is asked for: the first line of a file
    #[arg(long, value_name = "NAME=FILE")]
    secret_file: Vec<String>,
    /// The installation
    #[arg(long, env = "ADP_DATA_DIR", default_value = "/var/lib/openadp")]
    data_dir: PathBuf,
    /// No line editing: lines are typed as into any other program
    #[arg(long)]
    plain: bool,
    /// Run no commands of ~/.adpclirc before the first prompt
    #[arg(long)]
    no_rc: bool,
    /// The operator's home
    #[arg(long, env = "HOME", hide = true, hide_env = true)]
    home: Option<PathBuf>,
    /// What the terminal calls itself
    #[arg(long, env = "TERM", hide = true, hide_env = true)]
    term: Option<OsString>,
}

impl Arguments {
    /// Whether lines are edited where they are typed.
    fn edits(&self) -> bool {
        !self.plain && self.term.as_ref().is_some_and(|term| !term.is_empty() && term != "dumb")
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
    Csv,
}

/// Runs `adpcli` with these arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = openadp_daemon::generate(&Arguments::command(), arguments.iter().cloned()) {
        return code;
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { Code::Syntax } else { Code::Done };
            // Help that nobody reads is no failure.
            let _printed = error.print();
            return exit(code);
        }
    };
    match start(&arguments) {
        Ok(code) => exit(code),
        Err((code, reason)) => {
            let _printed = writeln!(std::io::stderr(), "adpcli: {reason}");
            exit(code)
        }
    }
}

fn exit(code: Code) -> ExitCode {
    ExitCode::from(code as u8)
}

fn start(arguments: &Arguments) -> Result<Code, (Code, String)> {
    let registry = Registry::new(modules())
        .map_err(|error| (Code::Unreachable, format!("a declaration is wrong: {error}")))?;
    let secrets: Vec<(String, String)> =
        arguments.secret_file.iter().map(|given| secret(given)).collect::<Result<_, _>>()?;
    let options = Options {
        yes: arguments.yes,
        dry_run: arguments.dry_run,
        force: arguments.force,
        keep_going: arguments.keep_going,
        format: match arguments.output {
            Output::Text => Format::Text,
            Output::Json => Format::Json,
            Output::Csv => Format::Csv,
        },
        lines_are_public: arguments.line.is_some() || !arguments.command.is_empty(),
        echo: arguments.file.is_some() && !arguments.quiet,
        ..Options::default()
    };
    let backend = Installation::new(&arguments.data_dir, registry.clone());
    let mut session = Session::new(&registry, Box::new(backend), options);
    let mut terminal = Terminal::new(secrets, arguments.home.clone());
    let given: Vec<String> = arguments.line.iter().chain(&arguments.command).cloned().collect();
    let code = if !given.is_empty() {
        lines(&mut session, &mut terminal, given.iter().map(String::as_str), arguments)
    } else if let Some(file) = &arguments.file {
        let text = read_text(&file.to_string_lossy(), MAX_COMMAND_FILE)
            .map_err(|error| (Code::Refused, format!("cannot read {}: {error}", file.display())))?;
        lines(&mut session, &mut terminal, text.lines(), arguments)
    } else {
        converse(&mut session, &mut terminal, arguments)
    };
    let code = session.finish(&mut terminal).filter(|_| code == Code::Done).unwrap_or(code);
    let restart = arguments.strict && session.restart_needed();
    Ok(if code == Code::Done && restart { Code::Restart } else { code })
}

/// Name and secret of `--secret-file NAME=FILE`.
fn secret(given: &str) -> Result<(String, String), (Code, String)> {
    let (name, file) = given
        .split_once('=')
        .ok_or_else(|| (Code::Syntax, format!("--secret-file {given}: it takes NAME=FILE")))?;
    let text = read_text(file, MAX_SECRET_FILE)
        .map_err(|error| (Code::Refused, format!("cannot read {file}: {error}")))?;
    Ok((name.to_owned(), text.lines().next().unwrap_or_default().to_owned()))
}

/// Lines that are there beforehand: they stop at the first failure unless told to go on.
fn lines<'a>(
    session: &mut Session,
    terminal: &mut Terminal,
    lines: impl Iterator<Item = &'a str>,
    arguments: &Arguments,
) -> Code {
    let mut code = Code::Done;
    terminal.following = Some(lines.map(str::to_owned).collect());
    while let Some(line) = terminal.following.as_mut().and_then(VecDeque::pop_front) {
        let line = line.as_str();
        let shown = line.trim();
        if arguments.file.is_some() && session.echoes() && !shown.is_empty() {
            let shown = session.masked(shown);
            terminal.write(&format!("{}{shown}\n", session.prompt()));
        }
        match session.line(line, terminal) {
            Flow::Continue => {}
            Flow::Leave => break,
            Flow::Failed(failed) => {
                code = failed;
                if !arguments.keep_going {
                    break;
                }
            }
        }
        if terminal.broken() {
            break;
        }
    }
    code
}

/// Lines of the terminal, or of whatever the standard input is.
fn converse(session: &mut Session, terminal: &mut Terminal, arguments: &Arguments) -> Code {
    use crate::console::Console as _;
    let text = matches!(arguments.output, Output::Text) && !arguments.quiet;
    let interactive = terminal.interactive();
    if text {
        terminal.write(&banner());
    }
    if interactive {
        warn_of_certificates(session, terminal);
    }
    let mut code = Code::Done;
    if interactive {
        terminal.begin(arguments.edits());
        if let Some(flow) = begin(session, terminal, arguments) {
            return flow;
        }
    }
    loop {
        let prompt = if text || interactive { session.prompt() } else { String::new() };
        let line = match terminal.command(&prompt, session) {
            Typed::Line(line) => line,
            Typed::Abandoned => continue,
            Typed::End => {
                if text {
                    terminal.write("\n");
                }
                return code;
            }
        };
        match session.line(&line, terminal) {
            Flow::Continue => {}
            Flow::Leave => return code,
            Flow::Failed(failed) => {
                code = failed;
                // Whoever sits there sees it and goes on.
                if !interactive && !arguments.keep_going {
                    return code;
                }
            }
        }
        if terminal.broken() {
            return code;
        }
    }
}

/// Tells whoever signs in which certificates have expired or soon will. Settings that cannot be read are told about when
/// they are needed.
fn warn_of_certificates(session: &mut Session, terminal: &mut Terminal) {
    use crate::console::Console as _;
    /// More would push the prompt off the screen.
    const MOST: usize = 10;
    let Ok(snapshot) = session.backend.snapshot(openadp_tls::HttpServerCertificate::CONTEXT) else { return };
    let lines = openadp_tls::expiry_warnings(&snapshot, SystemClock.now());
    for line in lines.iter().take(MOST) {
        terminal.warn(&format!("Warning: {line}"));
    }
    if lines.len() > MOST {
        terminal.warn(&format!("Warning: {} more certificates expire soon", lines.len() - MOST));
    }
}

/// Runs the operator's own commands before the first prompt; a code where they end the session.
fn begin(session: &mut Session, terminal: &mut Terminal, arguments: &Arguments) -> Option<Code> {
    use crate::console::Console as _;
    let path = terminal.home(".adpclirc").filter(|_| !arguments.no_rc)?;
    let text = match read_text(&path, MAX_COMMAND_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            terminal.warn(&format!("Warning: cannot read {path}: {error}"));
            return None;
        }
    };
    terminal.print("Reading initial CLI command file...");
    let flow = session.file(&path, &text, terminal);
    matches!(flow, Ok(Flow::Leave)).then_some(Code::Done)
}

fn banner() -> String {
    let rule = "=".repeat(70);
    format!("{rule}\nBroadWorks Command Line Interface\n  Type HELP for more information\n{rule}\n\n")
}
