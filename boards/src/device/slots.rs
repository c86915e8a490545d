//! Two slots, one link, and which of them is good.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{files, lock};
use crate::protocol::{ARCHIVE, Kind, RUNTIME, Refusal, Release, SIGNATURE, Slot, Status};
use crate::sum;

/// The names of the slots.
pub const SLOTS: [&str; 2] = ["a", "b"];

/// A board's folder.
pub struct Device {
    /// It.
    pub root: PathBuf,
}

/// What the slots hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The number of the last release.
    pub serial: u64,
    /// Releases that have proved themselves, or prove themselves now.
    pub slots: Vec<Slot>,
    /// A trial in progress: the slot, and the one before it.
    pub trial: Option<(String, Option<String>)>,
    /// How the last change ended.
    pub last: Option<String>,
}

impl State {
    /// What a slot holds.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|s| s.slot == name)
    }
}

/// A refusal in the system's words.
pub fn system(what: &Path) -> impl FnOnce(io::Error) -> Refusal + '_ {
    move |e| {
        let full = e.kind() == io::ErrorKind::StorageFull || e.raw_os_error() == Some(libc::EDQUOT);
        let kind = if full { Kind::Space } else { Kind::System };
        Refusal { kind, message: format!("{}: {e}", what.display()) }
    }
}

impl Device {
    /// In this folder, which is made.
    pub fn open(root: PathBuf) -> Result<Self, Refusal> {
        for folder in ["slots", "incoming", "keys", "run", "cache"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(system(&path))?;
        }
        Ok(Self { root })
    }

    /// Takes the board for a change; refuses when another session has it.
    pub fn lock(&self) -> Result<lock::Lock, Refusal> {
        self.try_lock()?.ok_or_else(|| Refusal {
            kind: Kind::Busy,
            message: "another session is changing this board; try again when it is done".into(),
        })
    }

    /// The same; `None` when another session has it.
    pub fn try_lock(&self) -> Result<Option<lock::Lock>, Refusal> {
        let path = self.root.join("lock");
        lock::take(&path).map_err(system(&path))
    }

    /// A slot's folder.
    pub fn slot(&self, name: &str) -> PathBuf {
        self.root.join("slots").join(name)
    }

    /// The link to the slot that runs.
    pub fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// The slot that runs.
    pub fn current_slot(&self) -> Option<String> {
        let name = fs::read_link(self.current()).ok()?.file_name()?.to_str()?.to_owned();
        SLOTS.contains(&name.as_str()).then_some(name)
    }

    /// The slots' state. One that cannot be read is as none: what runs is what the link says.
    pub fn state(&self) -> State {
        let text = fs::read(self.root.join("state.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes it.
    pub fn write_state(&self, state: &State) -> Result<(), Refusal> {
        let path = self.root.join("state.json");
        let text = serde_json::to_vec_pretty(state).expect("plain data");
        files::write(&path, &text).map_err(system(&path))
    }

    /// Makes a slot current, at once.
    pub fn switch(&self, slot: Option<&str>) -> Result<(), Refusal> {
        let link = self.current();
        let done = match slot {
            Some(slot) => files::point(&link, &Path::new("slots").join(slot)),
            None => match fs::remove_file(&link) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => files::sync_folder(&self.root),
            },
        };
        done.map_err(system(&link))
    }

    /// The release in a slot, after comparing every byte of it with the checksums in it.
    pub fn check_slot(&self, name: &str) -> Result<Release, Refusal> {
        let folder = self.slot(name);
        let no = |message| Refusal { kind: Kind::Checksum, message };
        let text = fs::read(folder.join("release.json"))
            .map_err(|e| no(format!("slot {name}: release.json: {e}")))?;
        let release: Release =
            serde_json::from_slice(&text).map_err(|e| no(format!("slot {name}: release.json: {e}")))?;
        check_files(&release)?;
        for file in &release.files {
            match sum::of_file(&folder.join(&file.name)) {
                Ok(sum) if sum == file.sha256 => {}
                Ok(_) => return Err(no(format!("slot {name}: {} has changed", file.name))),
                Err(e) => return Err(no(format!("slot {name}: {}: {e}", file.name))),
            }
        }
        Ok(release)
    }

    /// Takes back a trial that was cut short, and clears what was half-made. With the lock only.
    pub fn recover(&self, _: &lock::Lock) -> Result<(), Refusal> {
        let slots = self.root.join("slots");
        for entry in fs::read_dir(&slots).map_err(system(&slots))?.flatten() {
            if !SLOTS.iter().any(|s| *s == entry.file_name()) {
                files::clear(&entry.path()).map_err(system(&entry.path()))?;
            }
        }
        let mut state = self.state();
        if let Some((slot, before)) = state.trial.take() {
            if self.current_slot().as_ref() == Some(&slot) {
                self.switch(before.as_deref())?;
            }
            state.slots.retain(|s| s.slot != slot);
            state.last = Some("interrupted; returned to the old release".into());
            self.write_state(&state)?;
        }
        Ok(())
    }

    /// The slot to start: the current one, or, when its bytes have gone bad, the other if that is good.
    pub fn startable(&self) -> Result<(String, Release), Refusal> {
        let none = || Refusal { kind: Kind::Nothing, message: "no release is installed".into() };
        let current = self.current_slot().ok_or_else(none)?;
        let bad = match self.check_slot(&current) {
            Ok(release) => return Ok((current, release)),
            Err(refusal) => refusal,
        };
        let mut state = self.state();
        let other = SLOTS.into_iter().find(|s| *s != current).expect("there are two");
        // During a trial the other is what the session goes back to, so it stays out of this.
        if state.trial.is_none()
            && state.slot(other).is_some()
            && let Ok(release) = self.check_slot(other)
        {
            self.switch(Some(other))?;
            state.slots.retain(|s| s.slot != current);
            state.last = Some(format!("{bad}; went back to slot {other}"));
            self.write_state(&state)?;
            return Ok((other.into(), release));
        }
        Err(bad)
    }

    /// What runs.
    pub fn status(&self) -> Status {
        let (state, current) = (self.state(), self.current_slot());
        let get = |name: &str| state.slot(name).cloned();
        Status {
            previous: SLOTS.iter().filter(|s| Some(**s) != current.as_deref()).find_map(|s| get(s)),
            current: current.and_then(|c| get(&c)),
            service: super::service::state(self),
            last: state.last.clone(),
            signed_only: !super::signature::keys(self).is_empty(),
        }
    }
}

/// Whether a release names what it must and nothing else, so that names are safe as paths.
pub fn check_files(release: &Release) -> Result<(), Refusal> {
    let no = |message: String| Refusal { kind: Kind::Request, message };
    for (i, file) in release.files.iter().enumerate() {
        if ![RUNTIME, ARCHIVE, SIGNATURE].contains(&file.name.as_str()) {
            return Err(no(format!("a release has no file {:?}", file.name)));
        }
        if !sum::is_sum(&file.sha256) {
            return Err(no(format!("{}: not a checksum: {:?}", file.name, file.sha256)));
        }
        if release.files[..i].iter().any(|f| f.name == file.name) {
            return Err(no(format!("{} is there twice", file.name)));
        }
    }
    for name in [RUNTIME, ARCHIVE] {
        if !release.files.iter().any(|f| f.name == name) {
            return Err(no(format!("a release needs a file {name}")));
        }
    }
    Ok(())
}
