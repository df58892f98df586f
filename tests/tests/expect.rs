//! Operators' expect scripts, run by the real `expect`: what a terminal shows is the same byte by byte whatever it is called.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Screen, binary, repository};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What terminals call themselves; none at all is the last.
const TERMINALS: [Option<&str>; 3] = [Some("xterm-256color"), Some("dumb"), None];

fn expect(script: &str, terminal: Option<&str>, arguments: &[&str], input: &str) -> Result<Output> {
    let mut command = Command::new("expect");
    command.arg(repository().join("tests/clients").join(script)).arg(binary("adpcli")).args(arguments);
    match terminal {
        Some(terminal) => command.env("TERM", terminal),
        None => command.env_remove("TERM"),
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("expect: ./run-tests installs it")?;
    child.stdin.take().context("standard input")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn operator(
    terminal: Option<&str>,
    data_dir: &Path,
    line: &str,
    prompt: &str,
) -> Result<(String, Option<i32>)> {
    let data_dir = data_dir.to_string_lossy();
    let output = expect("operator.exp", terminal, &[&data_dir, line, prompt], "")?;
    let shown = String::from_utf8(output.stdout)?;
    ensure!(output.stderr.is_empty(), "{terminal:?}: {}\n{shown}", String::from_utf8_lossy(&output.stderr));
    Ok((shown, output.status.code()))
}

#[test]
fn one_line_split_at_semicolons_moves_the_session_and_changes_something() -> Result<()> {
    for terminal in TERMINALS {
        let folder = tempfile::tempdir()?;
        let prompt = "ADP_CLI/System/SSLCommonSettings/OpenSSL/Protocols";
        let run = |line: &str| operator(terminal, folder.path(), line, prompt);
        let line = "sys;sslc;openssl;proto;add TLSv1.2;get";
        let (shown, code) = run(line)?;
        ensure!(shown.contains(&format!("ADP_CLI> {line}\r\n...Done")), "{shown}");
        ensure!(shown.contains("\r\n  Protocol Name\r\n===============\r\n"), "{shown}");
        ensure!(shown.contains("\r\n1 entry found.\r\n") && code == Some(0), "{shown}");
        // The two refusals that scripts tell from all others.
        let (shown, code) = run(line)?;
        ensure!(shown.contains("entry is already present in list") && code == Some(1), "{shown}");
        ensure!(!shown.contains("...Done"), "{shown}");
        let (shown, code) = run("sys;sslc;openssl;proto;del TLSv1.3")?;
        ensure!(shown.contains("Entry not found") && code == Some(1), "{shown}");
    }
    Ok(())
}

#[test]
fn a_question_takes_the_next_part_of_the_line_for_its_answer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = expect(
        "transcript.exp",
        Some("xterm"),
        &[&folder.path().to_string_lossy()],
        "AS_CLI/System/ClientIdentity\nadd a.example.net\nrollback 0;y\nexit;n\ne;Y\n",
    )?;
    let shown = String::from_utf8(output.stdout)?;
    let end = shown.find("rollback 0;y").and_then(|at| shown.get(at..)).context("the rollback")?;
    ensure!(
        end.contains("...Done\r\nAS_CLI/System/ClientIdentity> exit;n\r\nAS_CLI/System/ClientIdentity> "),
        "{shown}"
    );
    ensure!(end.ends_with("ClientIdentity> e;Y\r\nThis session is ended.\r\n"), "{shown}");
    ensure!(output.status.success(), "{shown}");
    Ok(())
}

/// A session as a terminal shows it.
const SESSION: &str = "\
======================================================================
BroadWorks Command Line Interface
  Type HELP for more information
======================================================================

ADP_CLI> system
ADP_CLI/System> bogus
Invalid command
Hint: 'bogus' is unknown here; help lists what there is

ADP_CLI/System> q
ADP_CLI> quit
ADP_CLI> AS_CLI
AS_CLI> sys;clienti
AS_CLI/System/ClientIdentity> GET
  Common Name
=============

0 entry found.
AS_CLI/System/ClientIdentity> add bwcticlient.webex.com
...Done
AS_CLI/System/ClientIdentity> g
  Common Name
=======================
  bwcticlient.webex.com

1 entry found.
AS_CLI/System/ClientIdentity> cd /System/NotificationPushServer
AS_CLI/System/NotificationPushServer> set sharedSecret
New Password: 
Re-type New Password: 
...Done
AS_CLI/System/NotificationPushServer> history 2
   10  cd /System/NotificationPushServer
   11  set sharedSecret
AS_CLI/System/NotificationPushServer> cd
AS_CLI> e
Please confirm (Yes, Y, No, N): maybe
Please confirm (Yes, Y, No, N): n
AS_CLI> exit
Please confirm (Yes, Y, No, N): Yes
This session is ended.
";

#[test]
fn a_session_is_the_same_byte_by_byte_on_every_terminal() -> Result<()> {
    let typed = "system\nbogus\nq\nquit\nAS_CLI\nsys;clienti\nGET\nadd bwcticlient.webex.com\ng\n\
        cd /System/NotificationPushServer\nset sharedSecret\nplanted\nplanted\nhistory 2\ncd\ne\nmaybe\nn\nexit\nYes\n";
    for terminal in TERMINALS {
        let folder = tempfile::tempdir()?;
        let output = expect("transcript.exp", terminal, &[&folder.path().to_string_lossy()], typed)?;
        let shown = String::from_utf8(output.stdout)?;
        ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(shown == SESSION.replace('\n', "\r\n"), "{terminal:?}:\n{shown}\n{shown:?}");
    }
    Ok(())
}

/// More than a terminal holds at once, while commands are running; nothing is lost, and it is one change.
#[test]
fn lines_pasted_at_once_are_all_run() -> Result<()> {
    for terminal in ["xterm", "dumb"] {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary("adpcli"));
        command.arg("--data-dir").arg(folder.path()).env("TERM", terminal);
        let mut screen = Screen::start(command)?;
        let adds: String = (0..10_000).map(|number| format!("add client{number}.example.net\r")).collect();
        screen.paste(format!(
            "AS_CLI/System/ClientIdentity\rbegin\r{adds}commit\rget client9999.example.net\rrevisions\rexit\rY\r"
        ))?;
        let shown = screen.rest()?;
        // One for each line, and those of begin and commit.
        let end: String = shown.chars().skip(shown.chars().count().saturating_sub(2000)).collect();
        ensure!(shown.matches("...Done").count() == 10_002, "{terminal}: {end}");
        ensure!(
            end.contains("...Done [10000 edits as revision 1]") && end.contains("1 entry found."),
            "{end}"
        );
        ensure!(screen.end()? == Some(0), "{terminal}: {end}");
    }
    Ok(())
}
