//! The settings of channels.

use openadp_settings::{Context, Kind, Parameter, Problem, Settings, Snapshot, Tree, context};
use std::net::SocketAddr;

const SEVERITY_NAMES: &[&str] = &["Error", "Warn", "Notice", "Info", "FieldDebug", "Debug"];

macro_rules! input_channels {
    ($( $(#[doc = $doc:literal])+ $name:ident: $path:literal, $aliases:expr, $rows:expr; )*) => {
        $(
            context! {
                $(#[doc = $doc])+
                pub struct $name = Context::table(Tree::Adp, $path).aliases($aliases).initial($rows).without(&["add", "delete"]) => {
                    /// Name of the channel.
                    pub name: String = Parameter::new("name", Kind::text(1, 80)).header("Name").key().left();
                    /// Whether its lines are logged.
                    pub enabled: bool = Parameter::new("enabled", Kind::Boolean).header("Enabled").default("true");
                    /// The least severe lines that are logged; without it the level of System/Logging. Notice has what changes how
                    /// the node serves and who was refused, without the lines of every request that Info has.
                    pub severity: Option<String> =
                        Parameter::new("severity", Kind::Choice(SEVERITY_NAMES)).header("Severity");
                }
            }
        )*

        /// Name, enabled and severity of every channel.
        pub(super) fn input_channels(snapshot: &Snapshot) -> Vec<(String, bool, Option<String>)> {
            let mut all = Vec::new();
            $( all.extend(snapshot.rows::<$name>().into_iter().map(|row| (row.name, row.enabled, row.severity))); )*
            all
        }
    };
}

input_channels! {
    /// What the AuthenticationService logs: tokens that are issued and checked.
    AuthenticationServiceChannels: "Applications/AuthenticationService/Logging/InputChannels",
        &["Applications/AuthService/Logging/InputChannels"], &[&["authenticationService"]];
    /// What the device management logs.
    DmsChannels: "Applications/BroadworksDms/Logging/InputChannels", &[], &[&["DMSLog"]];
    /// What the CTI server logs.
    CtiChannels: "Applications/CTI/Logging/InputChannels", &[], &[&["CTILog"]];
    /// What the push server logs.
    NpsChannels: "Applications/NotificationPushServer/Logging/InputChannels", &[], &[&["NPSLog"]];
    /// What the web container logs: a line per request, handshakes, and the rest.
    WebContainerChannels: "Applications/WebContainer/Tomcat/Logging/InputChannels", &[],
        &[&["AccessLog"], &["Generic"], &["TLS"]];
    /// What Xsi-Actions logs.
    XsiActionsChannels: "Applications/Xsi-Actions/Logging/InputChannels", &[], &[&["XsiActionsLog"]];
    /// What Xsi-Events logs.
    XsiEventsChannels: "Applications/Xsi-Events/Logging/InputChannels", &[], &[&["XsiEventsLog"]];
    /// What every process logs beside its applications.
    SystemChannels: "System/Logging/InputChannels", &[],
        &[&["Alarms"], &["ApplicationServer"], &["Host"], &["Settings"]];
}

context! {
    /// Log lines in files: one of each process, set aside when it is large.
    pub struct FileOutput = Context::single(Tree::Adp, "System/Logging/OutputChannels/File") => {
        /// Whether lines are written to files.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// The folder; without it the folder logs of the data directory.
        pub directory: Option<String> = Parameter::new("directory", Kind::text(1, 1024));
        /// Size at which a file is set aside.
        pub max_size_kibibytes: u32 =
            Parameter::new("maxSizeKibibytes", Kind::integer(16, 10_485_760)).default("102400").unit("KiB");
        /// Files of one process, the present one among them; the oldest is deleted.
        pub max_files: u32 = Parameter::new("maxFiles", Kind::integer(1, 1000)).default("10");
        /// text: as operators know it; json: an object a line.
        pub format: String = Parameter::new("format", Kind::Choice(&["text", "json"])).default("text");
    }
}

const FACILITIES: &[&str] = &[
    "user", "daemon", "auth", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

context! {
    /// Log lines to a syslog server, in the form of RFC 5424.
    pub struct SyslogOutput = Context::single(Tree::Adp, "System/Logging/OutputChannels/Syslog") => {
        /// Whether lines are sent.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// unix: the socket of this machine's daemon; udp: a server's address. UDP is neither secured nor acknowledged.
        pub transport: String = Parameter::new("transport", Kind::Choice(&["unix", "udp"])).default("unix");
        /// Path of the socket, or address and port of the server: 192.0.2.7:514.
        pub address: String = Parameter::new("address", Kind::text(1, 255)).default("/dev/log");
        /// What the lines are filed under.
        pub facility: String = Parameter::new("facility", Kind::Choice(FACILITIES)).default("daemon");
    }
}

context! {
    /// Log lines to journald, in its native form with a field for each fact.
    pub struct JournaldOutput = Context::single(Tree::Adp, "System/Logging/OutputChannels/Journald") => {
        /// Whether lines are sent. Under systemd the standard error stream is in the journal too: switch off one of them.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// Its socket.
        pub socket: String =
            Parameter::new("socket", Kind::text(1, 107)).default("/run/systemd/journal/socket");
    }
}

/// The contexts of logging.
pub(crate) const CONTEXTS: [&Context; 11] = [
    AuthenticationServiceChannels::CONTEXT,
    DmsChannels::CONTEXT,
    CtiChannels::CONTEXT,
    NpsChannels::CONTEXT,
    WebContainerChannels::CONTEXT,
    XsiActionsChannels::CONTEXT,
    XsiEventsChannels::CONTEXT,
    SystemChannels::CONTEXT,
    FileOutput::CONTEXT,
    SyslogOutput::CONTEXT,
    JournaldOutput::CONTEXT,
];

/// Addresses that can be one.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    let syslog: SyslogOutput = snapshot.get();
    let wrong = match syslog.transport.as_str() {
        "udp" if syslog.address.parse::<SocketAddr>().is_err() => {
            Some("with udp it is an IP address and a port")
        }
        "unix" if !syslog.address.starts_with('/') => Some("with unix it is the whole path of a socket"),
        _ => None,
    };
    if let Some(reason) = wrong {
        let hint = if syslog.transport == "udp" {
            "set transport udp address 192.0.2.7:514"
        } else {
            "set transport unix address /dev/log"
        };
        problems
            .push(Problem::new(SyslogOutput::CONTEXT.full_path(), reason).parameter("address").hint(hint));
    }
    let file: FileOutput = snapshot.get();
    if file.directory.as_deref().is_some_and(|directory| !directory.starts_with('/')) {
        let problem = Problem::new(FileOutput::CONTEXT.full_path(), "the folder's whole path is needed");
        problems.push(problem.parameter("directory").hint("it begins with /"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::channels::{CHANNELS, SEVERITIES};
    use openadp_settings::{Registry, Store};

    #[test]
    fn the_rows_are_the_channels_that_there_are() {
        let names: Vec<&str> = SEVERITIES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, SEVERITY_NAMES);
        let store = Store::in_memory(Registry::new([crate::MODULE]).unwrap());
        let mut rows: Vec<String> =
            input_channels(&store.current()).into_iter().map(|(name, _, _)| name).collect();
        let mut channels: Vec<&str> = CHANNELS.iter().map(|channel| channel.name).collect();
        rows.sort();
        channels.sort_unstable();
        assert_eq!(rows, channels);
    }
}
