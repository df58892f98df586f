//! Lines to syslog (RFC 5424) and to journald (its native protocol).

use super::Line;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// RFC 5424 6.2.3: at most six digits of a second.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
/// Most bytes of a syslog message: what servers commonly take. RFC 5424 6.1
const MAX_MESSAGE: usize = 8 * 1024;
/// Most bytes of an entry in one datagram; longer ones would need a file.
const MAX_ENTRY: usize = 64 * 1024;
/// A daemon that takes nothing for so long does not take this line.
const WAIT: Duration = Duration::from_secs(1);

/// Syslog's severity of a level. RFC 5424 6.2.1
fn severity(line: &Line) -> u8 {
    match line.level {
        tracing::Level::ERROR => 3,
        tracing::Level::WARN => 4,
        tracing::Level::INFO if line.notice => 5,
        tracing::Level::INFO => 6,
        _ => 7,
    }
}

fn facility(name: &str) -> u8 {
    match name {
        "user" => 1,
        "auth" => 4,
        "local0" => 16,
        "local1" => 17,
        "local2" => 18,
        "local3" => 19,
        "local4" => 20,
        "local5" => 21,
        "local6" => 22,
        "local7" => 23,
        _ => 3,
    }
}

/// A text as long as it may be, whole characters only.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// What the syslog output is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyslogConfig {
    pub(super) udp: bool,
    pub(super) address: String,
    pub(super) facility: String,
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// The way to a syslog daemon.
pub(super) struct Syslog {
    config: SyslogConfig,
    host: String,
    process: String,
    sequence: u32,
    socket: Option<Socket>,
}

impl Syslog {
    pub(super) fn new(config: SyslogConfig, process: &str) -> Self {
        let printable = |text: &str, most: usize| {
            let text: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
            if text.is_empty() { "-".to_owned() } else { text }
        };
        let system = rustix::system::uname();
        let host = printable(&system.nodename().to_string_lossy(), 255);
        Self { config, host, process: printable(process, 48), sequence: 0, socket: None }
    }

    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        self.sequence = self.sequence % 2_147_483_647 + 1;
        let message = self.message(line);
        // A daemon that was restarted has another socket: one more try.
        for last in [false, true] {
            let socket = match self.socket.take() {
                Some(socket) => socket,
                None => self.connect()?,
            };
            let sent = match &socket {
                Socket::Udp(socket) => socket.send(message.as_bytes()),
                Socket::Unix(socket) => socket.send(message.as_bytes()),
            };
            match sent {
                Ok(_) => {
                    self.socket = Some(socket);
                    return Ok(());
                }
                Err(error) if last => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn connect(&self) -> io::Result<Socket> {
        if !self.config.udp {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(WAIT))?;
            socket.connect(&self.config.address)?;
            return Ok(Socket::Unix(socket));
        }
        let address: SocketAddr = self
            .config
            .address
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an IP address and a port"))?;
        let own: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(own)?;
        socket.set_write_timeout(Some(WAIT))?;
        socket.connect(address)?;
        Ok(Socket::Udp(socket))
    }

    /// `<PRI>1 TIME HOST APP PROCID MSGID [meta sequenceId] TEXT`
    fn message(&self, line: &Line) -> String {
        let priority = facility(&self.config.facility) * 8 + severity(line);
        let at = line.at.format(TIME).unwrap_or_else(|_| "-".to_owned());
        let mut message = format!(
            "<{priority}>1 {at} {} {} {} {} [meta sequenceId=\"{}\"] {}",
            self.host,
            self.process,
            std::process::id(),
            line.channel,
            self.sequence,
            line.text()
        );
        cut(&mut message, MAX_MESSAGE);
        message
    }
}

/// The way to journald.
pub(super) struct Journald {
    path: String,
    process: String,
    socket: UnixDatagram,
}

impl Journald {
    pub(super) fn new(path: &str, process: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(WAIT))?;
        Ok(Self { path: path.to_owned(), process: process.to_owned(), socket })
    }

    pub(super) fn write(&self, line: &Line) -> io::Result<()> {
        self.socket.send_to(&entry(line, &self.process), &self.path).map(|_| ())
    }
}

/// An entry: a field a line, values with line ends by their length.
fn entry(line: &Line, process: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    field(&mut entry, "MESSAGE", &line.message);
    field(&mut entry, "PRIORITY", &severity(line).to_string());
    field(&mut entry, "SYSLOG_IDENTIFIER", process);
    field(&mut entry, "SYSLOG_PID", &std::process::id().to_string());
    field(&mut entry, "ADP_CHANNEL", line.channel);
    field(&mut entry, "ADP_TARGET", line.target);
    for (name, value) in &line.fields {
        let mut own = String::from("ADP_FIELD_");
        for c in name.chars().take(48) {
            let c = if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            // Writing to a String does not fail.
            let _written = own.write_char(c);
        }
        if entry.len() + own.len() + value.len() + 16 > MAX_ENTRY {
            break;
        }
        field(&mut entry, &own, value);
    }
    entry
}

fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn line() -> Line {
        Line {
            at: datetime!(2025-03-04 10:11:12.131 UTC),
            level: tracing::Level::WARN,
            notice: false,
            channel: "TLS",
            target: "openadp_tls",
            thread: "main".to_owned(),
            message: "a\nb".to_owned(),
            fields: vec![("peer.addr", "x".to_owned())],
        }
    }

    #[test]
    fn syslog_messages_have_the_form_of_the_rfc() {
        let config =
            SyslogConfig { udp: true, address: "127.0.0.1:514".to_owned(), facility: "local3".to_owned() };
        let mut syslog = Syslog::new(config, "adp");
        syslog.host = "node".to_owned();
        syslog.sequence = 7;
        let own = std::process::id();
        assert_eq!(
            syslog.message(&line()),
            format!(
                "<156>1 2025-03-04T10:11:12.131000Z node adp {own} TLS [meta sequenceId=\"7\"] a b peer.addr=x"
            )
        );
        let long = Line { message: "ä".repeat(MAX_MESSAGE), ..line() };
        assert!(syslog.message(&long).len() <= MAX_MESSAGE);
    }

    #[test]
    fn journal_entries_have_a_field_a_line() {
        let entry = entry(&line(), "adp");
        let begin = b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\nSYSLOG_IDENTIFIER=adp\n";
        assert!(entry.starts_with(begin), "{}", String::from_utf8_lossy(&entry));
        assert!(entry.ends_with(b"ADP_CHANNEL=TLS\nADP_TARGET=openadp_tls\nADP_FIELD_PEER_ADDR=x\n"));
    }
}
