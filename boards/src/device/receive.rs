//! Files on their way to a board.

use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use super::Device;
use super::files;
use super::slots::{SLOTS, system};
use crate::protocol::{File as Entry, Kind, Refusal, Release, Wanted};
use crate::sum;

/// What a change needs beside its files: folders, state, a compiled plan.
const MARGIN: u64 = 1 << 20;

/// The files of a release that are neither here nor in a slot, and how much of each is here.
pub fn wanted(device: &Device, release: &Release) -> Result<Vec<Wanted>, Refusal> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for file in &release.files {
        if wanted.iter().any(|w| w.sha256 == file.sha256) || find(device, file).is_some() {
            continue;
        }
        let from = fs::metadata(part(device, file)).map_or(0, |m| m.len());
        // More than all: another file's, or damage.
        let from = if from > file.bytes { 0 } else { from };
        wanted.push(Wanted { sha256: file.sha256.clone(), from });
    }
    Ok(wanted)
}

/// Refuses when what is to come, and the copies in the slot, do not fit on the disk.
pub fn room(device: &Device, release: &Release, wanted: &[Wanted]) -> Result<(), Refusal> {
    let size = |f: &Entry| f.bytes;
    let coming: u64 = release
        .files
        .iter()
        .filter_map(|f| wanted.iter().find(|w| w.sha256 == f.sha256).map(|w| f.bytes - w.from))
        .sum();
    let needs = coming.saturating_add(release.files.iter().map(size).sum()).saturating_add(MARGIN);
    let free = files::free_bytes(&device.root).map_err(system(&device.root))?;
    if free >= needs {
        return Ok(());
    }
    let message = format!(
        "not enough disk space: {} kB needed, {} kB free. Delete files on the board",
        needs / 1024,
        free / 1024
    );
    Err(Refusal { kind: Kind::Space, message })
}

/// Takes the rest of a file off the line. What came stays when the line breaks.
pub fn receive(device: &Device, file: &Entry, from: u64, line: &mut impl BufRead) -> Result<(), Refusal> {
    let path = part(device, file);
    let cut = |e: io::Error| Refusal {
        kind: Kind::Line,
        message: format!("the connection broke while sending {} ({e}); the part received is kept", file.name),
    };
    let mut to =
        File::options().create(true).write(true).truncate(from == 0).open(&path).map_err(system(&path))?;
    io::Seek::seek(&mut to, io::SeekFrom::Start(from)).map_err(system(&path))?;
    let mut left = file.bytes - from;
    while left > 0 {
        let bytes = line.fill_buf().map_err(cut)?;
        if bytes.is_empty() {
            let _ = to.sync_all();
            return Err(cut(io::ErrorKind::UnexpectedEof.into()));
        }
        let n = bytes.len().min(left as usize);
        to.write_all(&bytes[..n]).map_err(|e| {
            // On a full disk, what there is of this file only makes it worse.
            let _ = fs::remove_file(&path);
            system(&path)(e)
        })?;
        line.consume(n);
        left -= n as u64;
    }
    to.sync_all().map_err(system(&path))?;
    let sum = sum::of_file(&path).map_err(system(&path))?;
    if sum != file.sha256 {
        let _ = fs::remove_file(&path);
        let message = format!("{} arrived damaged; flash again", file.name);
        return Err(Refusal { kind: Kind::Checksum, message });
    }
    let done = device.root.join("incoming").join(&file.sha256);
    fs::rename(&path, &done).map_err(system(&done))
}

/// Where a file's content is on the board already; checked when it is copied.
pub fn find(device: &Device, file: &Entry) -> Option<PathBuf> {
    let incoming = device.root.join("incoming").join(&file.sha256);
    if incoming.is_file() {
        return Some(incoming);
    }
    let state = device.state();
    let in_slot = |slot: &&&str| {
        state.slot(slot)?;
        let text = fs::read(device.slot(slot).join("release.json")).ok()?;
        let release: Release = serde_json::from_slice(&text).ok()?;
        let same = release.files.iter().find(|f| f.sha256 == file.sha256)?;
        let path = device.slot(slot).join(&same.name);
        // A file that has rotted in its slot is sent again.
        (sum::of_file(&path).ok()? == file.sha256).then_some(path)
    };
    SLOTS.iter().find_map(|s| in_slot(&s))
}

/// Clears what is on its way, when all has arrived.
pub fn clear(device: &Device) -> Result<(), Refusal> {
    let folder = device.root.join("incoming");
    for entry in fs::read_dir(&folder).map_err(system(&folder))?.flatten() {
        let _ = fs::remove_file(entry.path());
    }
    Ok(())
}

fn part(device: &Device, file: &Entry) -> PathBuf {
    device.root.join("incoming").join(format!("{}.part", file.sha256))
}
