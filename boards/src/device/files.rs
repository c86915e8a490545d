//! Writing so that a power cut leaves the old or the new.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes a folder's entries last.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces a file.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_added_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Copies a file into a slot.
pub fn copy(from: &Path, to: &Path, executable: bool) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    File::open(to)?.sync_all()
}

/// Points a symbolic link elsewhere, at once.
pub fn point(link: &Path, to: &Path) -> io::Result<()> {
    let new = link.with_added_extension("new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => std::os::unix::fs::symlink(to, &new)?,
    }
    fs::rename(&new, link)?;
    sync_folder(link.parent().unwrap_or(Path::new(".")))
}

/// Removes a folder with what is in it, if it is there.
pub fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Bytes that this user can still write to the disk that a path lies on.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeros is a valid statvfs, and statvfs writes only into it.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string and a structure that both live through the call.
    if unsafe { libc::statvfs(name.as_ptr(), &mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The widths of these differ between targets.
    #[allow(clippy::unnecessary_cast)]
    Ok(stat.f_bavail as u64 * stat.f_frsize as u64)
}
