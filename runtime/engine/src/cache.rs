//! Compiled plans on disk: a second start neither unpacks the archive nor packs weights.
//!
//! An entry's name is derived from everything that determines its plan: the archive's SHA-256, the kernel set, and
//! the versions of plan and program. It contains
//!
//! ```text
//! "FNCACHE2" · length and CRC-32 of the description, u32 each · description (JSON) · plan
//! ```
//! Entries are written completely or not at all, and they are not trusted: the description has its own checksum,
//! and the plan is validated like every plan. A damaged entry counts as missing and is written again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use foldnet_archive::{Activation, ArchiveError, Kind, Manifest, Network};
use foldnet_kernels::{KernelSet, Shape};
use foldnet_plan::format::VERSION;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aligned::Aligned;
use crate::features::Quantized;
use crate::session::{NetworkInfo, Session, SessionError, StepInfo};

const MAGIC: [u8; 8] = *b"FNCACHE2";
/// The longest description that is accepted; that of ResNet-50 has 100 kB.
const MAX_DESCRIPTION: u32 = 16 << 20;
/// The number of entries kept; when there are more, the least recently used are deleted.
const KEPT: usize = 8;

/// The reason why an archive cannot become a session.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The session cannot be created.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A folder of compiled plans.
pub struct Cache {
    folder: PathBuf,
}

/// The part of a session that its plan does not contain.
#[derive(Serialize, Deserialize)]
struct Description {
    manifest: Manifest,
    activation: String,
    /// Zero point and scale (as bits) of the tensor that the last layer reads.
    features: Option<(i8, u32)>,
    steps: Vec<Step>,
}

#[derive(Serialize, Deserialize)]
struct Step {
    name: String,
    kind: String,
    macs: u64,
    output: [usize; 3],
}

const ACTIVATIONS: [(&str, Activation); 3] =
    [("none", Activation::None), ("softmax", Activation::Softmax), ("sigmoid", Activation::Sigmoid)];
impl Cache {
    /// Opens the user's cache: `foldnet` in `$XDG_CACHE_HOME` or in `~/.cache`. Returns `None` if neither exists.
    pub fn of_user() -> Option<Self> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self::at(&base.join("foldnet")))
    }

    /// Uses this folder, which is created on the first write.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns a session for the archive: from the cache, or compiled and then written to the cache.
    pub fn session(
        &self,
        archive: &Path,
        set: &'static dyn KernelSet,
        threads: usize,
    ) -> Result<(Manifest, Session), LoadError> {
        let io = |source| ArchiveError::Io { path: archive.into(), source };
        if let Ok(digest) = digest(archive) {
            let entry = self.entry(digest, set);
            match read(&entry, set, threads) {
                Ok((manifest, session)) => {
                    tracing::info!("compiled plan from {}", entry.display());
                    // Marks the entry as used. Where that is not permitted, it may be deleted earlier.
                    let _ = File::open(&entry).and_then(|f| f.set_modified(SystemTime::now()));
                    return Ok((manifest, session));
                }
                Err(Refusal::Absent) => {}
                Err(Refusal::Threads(error)) => return Err(error.into()),
                Err(Refusal::Damaged(why)) => {
                    tracing::info!("{} is not used, but written again: {why}", entry.display());
                }
            }
        }
        if !fs::metadata(archive).map_err(io)?.is_file() {
            // Produces the archive reader's own error message.
            foldnet_archive::read(archive)?;
        }
        // The bytes that are unpacked must be the bytes that are hashed, even if the file changes meanwhile.
        let bytes = fs::read(archive).map_err(io)?;
        let (network, manifest) = foldnet_archive::unpack(&bytes[..], archive)?;
        let session = Session::new(&network, set, threads)?;
        let entry = self.entry(Sha256::digest(&bytes).into(), set);
        match self.write(&entry, &network, &manifest, &session) {
            Ok(()) => tracing::info!("compiled plan kept in {}", entry.display()),
            Err(why) => tracing::info!("compiled plan not kept in {}: {why}", entry.display()),
        }
        Ok((manifest, session))
    }

    fn entry(&self, digest: [u8; 32], set: &dyn KernelSet) -> PathBuf {
        let hex: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
        let program = env!("CARGO_PKG_VERSION");
        self.folder.join(format!("{hex}-{}-{VERSION}-{program}.plan", set.name()))
    }

    fn write(
        &self,
        entry: &Path,
        network: &Network,
        manifest: &Manifest,
        session: &Session,
    ) -> io::Result<()> {
        let activation = ACTIVATIONS.iter().find(|a| a.1 == network.activation).expect("all are listed").0;
        let description = Description {
            manifest: manifest.clone(),
            activation: activation.into(),
            features: session.info().features.map(|f| (f.zero, f.scale.to_bits())),
            steps: session.steps().iter().map(Step::of).collect(),
        };
        let json = serde_json::to_vec(&description)?;
        let length = u32::try_from(json.len()).ok().filter(|&n| n <= MAX_DESCRIPTION);
        let length = length.ok_or_else(|| io::Error::other("the description is too long"))?;
        let plan = session.plan_bytes();
        let mut bytes = Vec::with_capacity(16 + json.len() + plan.len());
        bytes.extend(MAGIC);
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32fast::hash(&json).to_le_bytes());
        bytes.extend(&json);
        bytes.extend(plan);
        fs::create_dir_all(&self.folder)?;
        foldnet_archive::write_file(entry, &bytes)?;
        self.forget_oldest()
    }

    /// Deletes all but the [`KEPT`] most recently used entries.
    fn forget_oldest(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            if file.path().extension().is_some_and(|e| e == "plan") {
                entries.push((file.metadata()?.modified()?, file.path()));
            }
        }
        entries.sort();
        for (_, path) in entries.iter().rev().skip(KEPT) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

impl Step {
    fn of(info: &StepInfo) -> Self {
        let Shape { h, w, c } = info.output;
        Self { name: info.name.clone(), kind: info.kind.word().into(), macs: info.macs, output: [h, w, c] }
    }

    fn info(self) -> Option<StepInfo> {
        let kind = Kind::of(&self.kind)?;
        let [h, w, c] = self.output;
        Some(StepInfo { name: self.name, kind, macs: self.macs, output: Shape::new(h, w, c) })
    }
}

/// The reason why an entry yields no session.
enum Refusal {
    Absent,
    Damaged(String),
    /// The plan is valid, but the threads could not be started.
    Threads(SessionError),
}

fn read(entry: &Path, set: &'static dyn KernelSet, threads: usize) -> Result<(Manifest, Session), Refusal> {
    let damaged = |why: &dyn std::fmt::Display| Refusal::Damaged(why.to_string());
    let mut file = File::open(entry).map_err(|_| Refusal::Absent)?;
    let size = file.metadata().map_err(|e| damaged(&e))?.len();
    let mut head = [0; 16];
    file.read_exact(&mut head).map_err(|e| damaged(&e))?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let (length, crc) = (word(8), word(12));
    if head[..8] != MAGIC || length > MAX_DESCRIPTION || u64::from(length) + 16 > size {
        return Err(damaged(&"its head is wrong"));
    }
    let mut json = vec![0; length as usize];
    file.read_exact(&mut json).map_err(|e| damaged(&e))?;
    if crc32fast::hash(&json) != crc {
        return Err(damaged(&"the checksum of its description does not fit"));
    }
    let description: Description = serde_json::from_slice(&json).map_err(|e| damaged(&e))?;
    let activation = ACTIVATIONS.iter().find(|a| a.0 == description.activation);
    let steps: Option<Vec<StepInfo>> = description.steps.into_iter().map(Step::info).collect();
    let (Some(&(_, activation)), Some(steps)) = (activation, steps) else {
        return Err(damaged(&"its description has unknown words"));
    };
    let mut plan = Aligned::zeroed((size - 16 - u64::from(length)) as usize);
    file.read_exact(&mut plan).map_err(|e| damaged(&e))?;
    let features = description.features.map(|(zero, scale)| Quantized { zero, scale: f32::from_bits(scale) });
    let info = NetworkInfo { steps, activation, features };
    let session = Session::from_plan(plan, set, threads, info).map_err(|e| match e {
        SessionError::Plan(why) => damaged(&why),
        other => Refusal::Threads(other),
    })?;
    let input = &description.manifest.input;
    if session.input() != Shape::new(input.height, input.width, input.channels) {
        return Err(damaged(&"its description is that of another plan"));
    }
    Ok((description.manifest, session))
}

fn digest(archive: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hash, mut piece) =
        (foldnet_archive::open_file(archive)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::{every_step, manifest, manifest_of, networks};
    use foldnet_kernels::dispatch;
    use proptest::prelude::*;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        archive: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            Self::of(&every_step())
        }

        fn of(network: &Network) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let archive = folder.path().join("net.nnef.tgz");
            foldnet_archive::write(&archive, network, &manifest_of(network)).unwrap();
            Self { folder, archive }
        }

        fn cache(&self) -> Cache {
            Cache::at(&self.folder.path().join("cache"))
        }

        fn logits(&self) -> Vec<f32> {
            let (_, mut session) = self.cache().session(&self.archive, dispatch::best(), 1).unwrap();
            let pixels: Vec<u8> = (0..every_step().input().len()).map(|i| (i * 31) as u8).collect();
            session.run(&pixels).to_vec()
        }

        fn entries(&self) -> Vec<PathBuf> {
            fs::read_dir(self.cache().folder).unwrap().map(|f| f.unwrap().path()).collect()
        }
    }

    #[test]
    fn the_second_session_is_the_first_one() {
        for network in networks() {
            let place = Place::of(&network);
            let set = dispatch::best();
            let (manifest1, first) = place.cache().session(&place.archive, set, 1).unwrap();
            assert_eq!(place.entries().len(), 1);
            let (manifest2, second) = match read(&place.entries()[0], set, 1) {
                Ok(read) => read,
                Err(Refusal::Damaged(why)) => panic!("the entry is not used: {why}"),
                Err(_) => panic!("the entry is not read"),
            };
            assert_eq!((manifest1, first.info()), (manifest2, second.info()));
            assert_eq!(first.plan_bytes(), second.plan_bytes());
        }
    }

    #[test]
    fn another_archive_has_another_entry_and_the_oldest_goes() {
        let place = Place::new();
        for i in 0..KEPT + 3 {
            let newer = Manifest { labels: (0..4).map(|l| format!("{i}{l}")).collect(), ..manifest() };
            foldnet_archive::write(&place.archive, &every_step(), &newer).unwrap();
            let (got, _) = place.cache().session(&place.archive, dispatch::best(), 1).unwrap();
            assert_eq!(got, newer);
        }
        assert_eq!(place.entries().len(), KEPT);
    }

    #[test]
    fn without_a_place_to_write_all_goes_on() {
        let place = Place::new();
        fs::write(place.folder.path().join("cache"), "a file where a folder should be").unwrap();
        assert!(place.cache().session(&place.archive, dispatch::best(), 1).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_damaged_entry_is_written_again(at in any::<usize>(), flip in 1u8.., cut in any::<bool>()) {
            let place = Place::new();
            let right = place.logits();
            let entry = place.entries().remove(0);
            let whole = fs::read(&entry).unwrap();
            let at = at % whole.len();
            let mut bytes = whole.clone();
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            fs::write(&entry, &bytes).unwrap();
            prop_assert_eq!(place.logits(), right);
            prop_assert!(fs::read(&entry).unwrap() == whole);
        }
    }
}
