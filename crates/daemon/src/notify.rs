//! Telling systemd how we are: sd_notify(3) without its library.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub(crate) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        let variable = |name| std::env::var_os(name).and_then(|value| value.to_str().map(str::to_owned));
        let usec = variable("WATCHDOG_USEC").and_then(|text| text.parse::<u64>().ok());
        let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let target = socket.and_then(|name| match Self::connect(name.as_bytes()) {
            Ok(target) => Some(target),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used");
                None
            }
        });
        // Half the time, as sd_watchdog_enabled(3) advises; never so often that it becomes work.
        let watchdog =
            usec.filter(|_| ours).map(|usec| Duration::from_micros(usec / 2).max(Duration::from_millis(100)));
        Self { target, watchdog }
    }

    fn connect(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
        let address = match name {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            path @ [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "neither a path nor an abstract name",
                ));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok((socket, address))
    }

    /// Sends a state, `READY=1` say. A manager that does not listen changes nothing for us.
    pub(crate) fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.target
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, state, "service manager not told");
        }
    }

    /// How often the manager wants to hear that we live.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.target.as_ref().and(self.watchdog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier {
            target: Some(Notifier::connect(path.as_os_str().as_bytes()).unwrap()),
            watchdog: None,
        };
        notifier.send("READY=1");
        assert_eq!(receive(&manager), "READY=1");

        let name = format!("openadp-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let target = Notifier::connect(format!("@{name}").as_bytes()).unwrap();
        Notifier { target: Some(target), watchdog: None }.send("STOPPING=1");
        assert_eq!(receive(&manager), "STOPPING=1");
    }

    #[test]
    fn nonsense_and_dead_managers_do_no_harm() {
        assert!(Notifier::connect(b"relative").is_err());
        let target = Notifier::connect(b"/nonexistent/openadp/notify").unwrap();
        Notifier { target: Some(target), watchdog: None }.send("READY=1");
        Notifier::default().send("READY=1");
    }
}
