//! A release, and bringing it to a board.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ssh::{Agent, Host, RemoteError, Session};
use crate::protocol::{
    ARCHIVE, Event, File as Entry, Kind, RUNTIME, Release, Request, SIGNATURE, Status, machine,
};
use crate::{source, sum};
use foldnet_catalogue::Board;

/// Why there is nothing to bring.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The board does not run Linux.
    #[error("{0} is a microcontroller; only `boards flash`, `build`, `classify` and `bench` work with it")]
    NotLinux(String),
    /// The programs for this board are nowhere.
    #[error(
        "no programs for {target} (`runtime` and `foldnet-agent`) in {places}. Build them with `boards build \
         {target}`, or name their folder with --binaries"
    )]
    NoBinaries {
        /// Rust's target.
        target: String,
        /// Where they were looked for.
        places: String,
    },
    /// A program is for another processor.
    #[error("{path} is not a program for {machine}. Build it with `boards build`", path = path.display())]
    WrongBinary {
        /// The file.
        path: PathBuf,
        /// What the board has.
        machine: String,
    },
    /// Not an archive that can be flashed.
    #[error("{0}. (--unchecked sends it anyway; the board tests it and keeps its old release if it fails)")]
    Archive(#[from] foldnet_archive::ArchiveError),
}

/// Everything that is brought to boards of one kind.
pub struct Package {
    /// What it is.
    pub release: Release,
    /// The agent that goes before it.
    pub agent: Agent,
    sources: Vec<(String, PathBuf)>,
}

/// What goes into a [`Package`].
pub struct Parts<'a> {
    /// For this board.
    pub board: &'a Board,
    /// The archive.
    pub archive: &'a Path,
    /// Its signature; by default the file beside it, if there is one.
    pub signature: Option<&'a Path>,
    /// Where the board's programs are, if not in the usual places.
    pub binaries: Option<&'a Path>,
    /// Arguments of `runtime camera`.
    pub args: &'a [String],
    /// Whether the camera's service is started.
    pub service: bool,
    /// Do not read the archive first.
    pub unchecked: bool,
}

/// The ELF header's number of a processor.
fn elf_machine(machine: &str) -> Option<u16> {
    match machine {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        _ => None,
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ReleaseError + '_ {
    move |source| ReleaseError::Io { path: path.into(), source }
}

/// The folder with the programs for a target: where `boards build` puts them, else where packages do.
pub fn programs_for(target: &str) -> Result<PathBuf, ReleaseError> {
    let own = std::env::current_exe().ok();
    let prefix = own.as_deref().and_then(Path::parent).and_then(Path::parent);
    let built = source::root().ok().map(|root| source::programs_folder(&root, target));
    let installed = prefix.map(|prefix| prefix.join("lib/foldnet").join(target));
    let places: Vec<PathBuf> = built.into_iter().chain(installed).collect();
    let has = |p: &&PathBuf| [RUNTIME, "foldnet-agent"].iter().all(|n| p.join(n).is_file());
    places.iter().find(has).cloned().ok_or_else(|| ReleaseError::NoBinaries {
        target: target.into(),
        places: places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// The agent for a board.
pub fn agent(board: &Board, folder: Option<&Path>) -> Result<Agent, ReleaseError> {
    let linux = board.linux.as_ref().ok_or_else(|| ReleaseError::NotLinux(board.name.clone()))?;
    let target = linux.target.get_ref();
    let folder = folder.map_or_else(|| programs_for(target), |f| Ok(f.into()))?;
    let path = folder.join("foldnet-agent");
    let bytes = std::fs::read(&path).map_err(io(&path))?;
    is_for(&path, &bytes, machine(target))?;
    Ok(Agent { sum: sum::sha256(&bytes), bytes, machine: machine(target).into() })
}

/// Whether a program, of which the start suffices, is for this processor.
pub fn is_for(path: &Path, start: &[u8], machine: &str) -> Result<(), ReleaseError> {
    let number = start.get(18..20).map(|b| u16::from_le_bytes([b[0], b[1]]));
    if start.starts_with(b"\x7fELF") && number.is_some() && number == elf_machine(machine) {
        return Ok(());
    }
    Err(ReleaseError::WrongBinary { path: path.into(), machine: machine.into() })
}

impl Package {
    /// Gathers and sums the files.
    pub fn new(parts: &Parts) -> Result<Self, ReleaseError> {
        let board = parts.board;
        let linux = board.linux.as_ref().ok_or_else(|| ReleaseError::NotLinux(board.name.clone()))?;
        let target = linux.target.get_ref();
        let folder = parts.binaries.map_or_else(|| programs_for(target), |f| Ok(f.into()))?;
        let runtime = folder.join(RUNTIME);
        let mut start = [0; 20];
        let mut file = File::open(&runtime).map_err(io(&runtime))?;
        let n = file.read(&mut start).map_err(io(&runtime))?;
        is_for(&runtime, &start[..n], machine(target))?;
        if !parts.unchecked {
            foldnet_archive::read(parts.archive)?;
        }
        let mut sources = vec![(RUNTIME.to_owned(), runtime), (ARCHIVE.to_owned(), parts.archive.into())];
        let beside = parts.archive.with_added_extension("minisig");
        match parts.signature {
            Some(path) => sources.push((SIGNATURE.into(), path.into())),
            None if beside.is_file() => sources.push((SIGNATURE.into(), beside)),
            None => {}
        }
        let entry = |(name, path): &(String, PathBuf)| {
            let bytes = std::fs::metadata(path).map_err(io(path))?.len();
            Ok(Entry { name: name.clone(), sha256: sum::of_file(path).map_err(io(path))?, bytes })
        };
        let release = Release {
            board: board.id.clone(),
            compatible: linux.compatible.clone(),
            machine: machine(target).into(),
            files: sources.iter().map(entry).collect::<Result<_, ReleaseError>>()?,
            args: parts.args.to_vec(),
            service: parts.service,
        };
        Ok(Self { release, agent: agent(board, Some(&folder))?, sources })
    }
}

/// How a flash is done.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whatever the board says that it is.
    pub any_board: bool,
    /// Seconds for the first classification, and for the service to come up.
    pub health_seconds: u32,
    /// Seconds that the service must then stay up.
    pub settle_seconds: u32,
    /// How often a broken connection is taken up again.
    pub retries: u32,
}

/// Brings a release to a board; what runs there then. Takes up broken connections where they broke.
pub fn flash(
    host: &Host,
    package: &Package,
    manner: &Manner,
    say: &mut dyn FnMut(&str),
) -> Result<Status, RemoteError> {
    let mut broken = false;
    for attempt in 0.. {
        let error = match once(host, package, manner, say) {
            Ok(status) => return Ok(status),
            Err(error) => error,
        };
        // The board may still be at work on what came before the line broke.
        let again = match &error {
            RemoteError::Lost { .. } => true,
            RemoteError::Refused { refusal, .. } => {
                refusal.kind == Kind::Line || (broken && refusal.kind == Kind::Busy)
            }
            RemoteError::Unreachable { .. } => broken,
            _ => false,
        };
        if !again || attempt >= manner.retries {
            return Err(error);
        }
        broken = true;
        say(&format!("{error}; trying again"));
        std::thread::sleep(Duration::from_millis(500 << attempt.min(5)));
    }
    unreachable!("attempts end by returning")
}

fn once(
    host: &Host,
    package: &Package,
    manner: &Manner,
    say: &mut dyn FnMut(&str),
) -> Result<Status, RemoteError> {
    let mut session = Session::open(host, &package.agent)?;
    session.ask(&Request::Flash {
        release: package.release.clone(),
        any_board: manner.any_board,
        health_seconds: manner.health_seconds,
        settle_seconds: manner.settle_seconds,
    })?;
    loop {
        match session.event()? {
            Event::Step(what) => say(&what),
            Event::Done(status) => return Ok(status),
            Event::Want(wanted) => {
                for want in wanted {
                    send(&mut session, host, package, &want.sha256, want.from, say)?;
                }
            }
            other => {
                return Err(RemoteError::Protocol { host: host.name.clone(), said: format!("{other:?}") });
            }
        }
    }
}

fn send(
    session: &mut Session,
    host: &Host,
    package: &Package,
    sum: &str,
    from: u64,
    say: &mut dyn FnMut(&str),
) -> Result<(), RemoteError> {
    let local = |said: String| RemoteError::Shell { host: host.name.clone(), said };
    let entry = package.release.files.iter().find(|f| f.sha256 == sum && from <= f.bytes);
    let Some(entry) = entry else {
        return Err(RemoteError::Protocol { host: host.name.clone(), said: format!("wants {sum}") });
    };
    let already = if from > 0 { format!(", {} kB are there", from / 1024) } else { String::new() };
    say(&format!("sending {} ({} kB{already})", entry.name, entry.bytes / 1024));
    let path = &package.sources.iter().find(|(name, _)| *name == entry.name).expect("it is of these").1;
    let mut file = File::open(path).map_err(|e| local(format!("{}: {e}", path.display())))?;
    file.seek(SeekFrom::Start(from)).map_err(|e| local(e.to_string()))?;
    let (mut left, mut buffer) = (entry.bytes - from, vec![0; 1 << 16]);
    while left > 0 {
        let n = buffer.len().min(left as usize);
        file.read_exact(&mut buffer[..n])
            .map_err(|e| local(format!("{} has changed meanwhile: {e}", path.display())))?;
        session.send(&buffer[..n])?;
        left -= n as u64;
    }
    Ok(())
}

/// Asks a board something that needs no release; what it answers.
pub fn ask(
    host: &Host,
    agent: &Agent,
    request: &Request,
    say: &mut dyn FnMut(&str),
) -> Result<Event, RemoteError> {
    let mut session = Session::open(host, agent)?;
    session.ask(request)?;
    loop {
        match session.event()? {
            Event::Step(what) => say(&what),
            event => return Ok(event),
        }
    }
}
