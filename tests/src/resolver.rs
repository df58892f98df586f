//! A name server of our own, and processes that can ask no other: what they look up is seen.

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where resolvers ask; the library takes no other port from its file.
const PORT: u16 = 53;
/// What the processes run in: a mount namespace of their own, where the machine's resolver files are ours.
const INSIDE: &str = r#"
for file in resolv.conf nsswitch.conf hosts; do
  [ -e "/etc/$file" ] || [ "$file" = nsswitch.conf ] || { echo "no /etc/$file to cover" >&2; exit 1; }
  [ ! -e "/etc/$file" ] || mount --bind "$1/$file" "/etc/$file" || exit 1
done
# A cache on the machine would answer in our place.
[ ! -d /run/nscd ] || mount -t tmpfs none /run/nscd || exit 1
shift
exec "$@"
"#;

/// A name server that knows no name, and notes which it is asked for. Ends when dropped.
pub struct Resolver {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<BTreeSet<String>>>,
    ends: Arc<AtomicBool>,
}

impl Resolver {
    /// Starts it, and makes sure that what [`Resolver::around`] runs asks it and nobody else.
    ///
    /// # Errors
    /// Without the right to a mount namespace and to port 53: root has it.
    pub fn start() -> Result<Self> {
        let (address, socket) = free().context("binding port 53 of a local address; this test needs root")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let folder = tempfile::tempdir()?;
        for (file, text) in [
            ("resolv.conf", format!("nameserver {address}\noptions timeout:1 attempts:1\n")),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
            ("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned()),
        ] {
            std::fs::write(folder.path().join(file), text)?;
        }
        let (asked, ends) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(AtomicBool::new(false)));
        std::thread::spawn({
            let (asked, ends) = (asked.clone(), ends.clone());
            move || {
                let mut query = [0_u8; 1500];
                while !ends.load(Ordering::Acquire) {
                    let Ok((length, peer)) = socket.recv_from(&mut query) else { continue };
                    let query = query.get(..length).unwrap_or_default();
                    if let Some((name, answer)) = unknown(query) {
                        asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                        // Who asked may have gone.
                        let _sent = socket.send_to(&answer, peer);
                    }
                }
            }
        });
        let this = Self { folder, asked, ends };
        this.proves_itself()?;
        Ok(this)
    }

    /// A look-up of the C library, as the programs make theirs, must arrive here, and must find nothing.
    fn proves_itself(&self) -> Result<()> {
        const CANARY: &str = "canary.invalid-outside.example";
        let mut command = self.around(Command::new("getent"));
        let output = command.args(["ahosts", CANARY]).output().context("running getent")?;
        if output.status.success() || !self.take().contains(CANARY) {
            bail!("a look-up did not arrive: {output:?}");
        }
        Ok(())
    }

    /// Words that a command is put behind to ask this name server only.
    pub fn prefix(&self) -> Vec<OsString> {
        let words = ["unshare", "--mount", "--", "sh", "-c", INSIDE, "sh"];
        words.into_iter().map(OsString::from).chain([self.folder.path().into()]).collect()
    }

    /// The same command, with its words and variables, behind [`Resolver::prefix`].
    pub fn around(&self, command: Command) -> Command {
        behind(&self.prefix(), command)
    }

    /// The names that were asked for since this was called last.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
    }
}

/// A local address whose port 53 nobody has.
fn free() -> Result<(Ipv4Addr, UdpSocket)> {
    let first = u16::try_from(std::process::id() % 65_000)?;
    let mut error = None;
    for step in 0..100 {
        let [high, low] = first.wrapping_add(step).to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        match UdpSocket::bind((address, PORT)) {
            Ok(socket) => return Ok((address, socket)),
            Err(taken) => error = Some(taken),
        }
    }
    error.map_or_else(|| bail!("no address"), |error| Err(error.into()))
}

/// A command behind other words; its process becomes the command's.
pub(crate) fn behind(prefix: &[OsString], command: Command) -> Command {
    let Some((program, words)) = prefix.split_first() else { return command };
    let mut whole = Command::new(program);
    whole.args(words).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        whole.current_dir(folder);
    }
    whole
}

/// The name that a query asks for, and the answer that there is none (RFC 1035 4.1).
fn unknown(query: &[u8]) -> Option<(String, Vec<u8>)> {
    const HEADER: usize = 12;
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    // The question ends with type and class; what may follow (EDNS) is not repeated.
    let question = query.get(HEADER..at + 4)?;
    let mut answer = query.get(..2)?.to_vec();
    // An answer, recursion asked for and to be had, no such name; one question, nothing else.
    answer.extend([0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
    answer.extend_from_slice(question);
    Some((labels.join("."), answer))
}
