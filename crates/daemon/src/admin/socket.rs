//! Where the sockets are, and names longer than a socket address takes.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Most bytes of a UNIX socket's name, one less than the system's 108 for the final zero.
const MAX_NAME: usize = 107;

/// The directory of a data directory's admin sockets.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("admin")
}

/// Creates the directory with mode 0700.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// A name for the socket that fits into a socket address: its own, or one through the open directory.
/// It holds while the file is open.
pub(crate) fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= MAX_NAME {
        return Ok((path.to_owned(), None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let directory = File::open(parent)?;
    let through = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    if through.as_os_str().len() > MAX_NAME {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok((through, Some(directory)))
}

/// The name of a user, as revisions record it: `uid:N` where the machine knows none. May wait for a directory server.
pub fn author(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    user.map(|user| user.name).filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid:{uid}"))
}
