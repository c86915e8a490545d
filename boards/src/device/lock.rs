//! One change at a time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Held until dropped, or until the process dies however it dies.
pub struct Lock(#[allow(dead_code)] File);

/// Takes the lock; `None` when another process has it.
pub fn take(path: &Path) -> io::Result<Option<Lock>> {
    let file = File::options().create(true).append(true).open(path)?;
    // SAFETY: a file descriptor that is open through the call.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(Lock(file)));
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) }
}
