//! One change at a time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// Held until dropped, or until the process dies however it dies.
pub struct Lock(#[allow(dead_code)] File);

/// Takes the lock; `None` when another process has it.
pub fn take(path: &Path) -> io::Result<Option<Lock>> {
    lock(path, libc::LOCK_EX)
}

/// Whether another process has taken the lock. To look, it is shared for a moment with all who look.
pub fn is_taken(path: &Path) -> io::Result<bool> {
    Ok(lock(path, libc::LOCK_SH)?.is_none())
}

/// Takes a lock that others look at: who only looks is waited for, and not taken for another who has it.
pub fn take_looked_at(path: &Path) -> io::Result<Option<Lock>> {
    loop {
        if let Some(lock) = take(path)? {
            return Ok(Some(lock));
        }
        if is_taken(path)? {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lock(path: &Path, kind: i32) -> io::Result<Option<Lock>> {
    let file = File::options().create(true).append(true).open(path)?;
    // SAFETY: a file descriptor that is open through the call.
    if unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) } == 0 {
        return Ok(Some(Lock(file)));
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_taken(&path).unwrap());
        let looks = lock(&path, libc::LOCK_SH).unwrap().unwrap();
        // Others may look as well, but nobody may take it.
        assert!(!is_taken(&path).unwrap() && take(&path).unwrap().is_none());
        let taker = std::thread::spawn({
            let path = path.clone();
            move || take_looked_at(&path).unwrap()
        });
        drop(looks);
        let taken = taker.join().unwrap();
        assert!(taken.is_some() && is_taken(&path).unwrap() && take_looked_at(&path).unwrap().is_none());
        drop(taken);
        assert!(!is_taken(&path).unwrap());
    }
}
