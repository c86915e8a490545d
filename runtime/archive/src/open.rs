//! Opens files whose paths come from others.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a regular file for reading, through symbolic links. Anything else is refused without waiting: a FIFO
/// without a writer would block forever, and a device may never end.
pub fn open_file(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        // Linux returns this error for a socket.
        #[cfg(unix)]
        Some(libc::ENXIO) => not_regular("a socket or a device"),
        _ => error,
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Err(not_regular("a FIFO"));
        }
    }
    Err(not_regular(if kind.is_dir() { "a folder" } else { "a device" }))
}

fn not_regular(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{what}, not a regular file"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_blocks() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::write(path("file"), b"hello").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        let fifo = std::ffi::CString::new(path("fifo").to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        assert!(open_file(&path("file")).is_ok() && open_file(&path("link")).is_ok());
        for (name, what) in [("fifo", "FIFO"), ("socket", "socket"), ("", "folder")] {
            let error = open_file(&path(name)).unwrap_err().to_string();
            assert!(error.contains(what), "{name}: {error}");
        }
        assert!(open_file(Path::new("/dev/zero")).unwrap_err().to_string().contains("device"));
        assert_eq!(open_file(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
