//! What packages ship beside a binary, made from its flags: `NAME --generate man|bash|zsh|fish [SUBCOMMAND]`.

use crate::exit::Exit;
use clap::Command;
use clap_complete::Shell;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// Prints a man page or the completion of a shell, if these arguments ask for one.
///
/// The flag is none of the command's own, so that a subcommand which is asked for otherwise is not missed here.
pub fn generate(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut words = arguments.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    if words.next()? != "--generate" {
        return None;
    }
    let (what, subcommand) = (words.next().unwrap_or_default(), words.next());
    // Nobody reads it: nothing is left to do.
    Some(if let Some(page) = made(command.clone(), &what, subcommand.as_deref()) {
        let _written = std::io::stdout().write_all(&page);
        Exit::Clean.into()
    } else {
        let _written =
            writeln!(std::io::stderr(), "--generate takes man, bash, zsh or fish, and for man a subcommand");
        Exit::Usage.into()
    })
}

fn made(mut command: Command, what: &str, subcommand: Option<&str>) -> Option<Vec<u8>> {
    let mut page = Vec::new();
    if what == "man" {
        if let Some(name) = subcommand {
            // Building it gives a subcommand the whole name and the version.
            command = command.propagate_version(true);
            command.build();
            command = command.find_subcommand(name)?.clone();
        }
        clap_mangen::Man::new(command).render(&mut page).ok()?;
        return Some(page);
    }
    let shell = match what {
        "bash" => Shell::Bash,
        "fish" => Shell::Fish,
        "zsh" => Shell::Zsh,
        _ => return None,
    };
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut page);
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn page(what: &str, subcommand: Option<&str>) -> Option<String> {
        let flag = Arg::new("data-dir").long("data-dir").help("Where the data is");
        let command =
            Command::new("adp").version("1").subcommand(Command::new("lab").about("Serves all").arg(flag));
        made(command, what, subcommand).map(|page| String::from_utf8_lossy(&page).into_owned())
    }

    #[test]
    fn pages_of_a_command_and_of_a_subcommand() {
        assert!(page("man", None).is_some_and(|page| page.contains("lab") && page.contains(".TH adp 1")));
        assert!(
            page("man", Some("lab"))
                .is_some_and(|page| page.contains(r"\-\-data\-dir") && page.contains(".TH adp-lab 1"))
        );
        assert!(page("bash", None).is_some_and(|page| page.contains("--data-dir")));
        assert_eq!((page("man", Some("other")), page("csh", None)), (None, None));
    }

    #[test]
    fn only_when_asked_for() {
        let none =
            |words: &[&str]| generate(&Command::new("adp"), words.iter().map(OsString::from)).is_none();
        assert!(none(&["adp"]) && none(&["adp", "lab"]) && none(&["adp", "lab", "--generate"]));
    }
}
