//! The teaching file; docs/src/formats/teaching.md specifies it.
//!
//! Every number is checked before anything is allocated for it. What is read is what was written, or refused.

use std::io::Read;
use std::path::Path;

use crate::calibrate::{Calibration, FalseAlarms, NEVER};
use crate::cluster::{MAX_PROTOTYPES, Prototype};
use crate::error::{FileError, TeachError};
use crate::metric::{MAX_FEATURES, MAX_NORM, Metric, norm};
use crate::own::{MAX_OWN, Own, OwnExample};
use crate::teacher::{Example, MAX_CLASSES, MAX_EXAMPLES};
use crate::teaching::{Class, Other, Teaching};

/// The newest version of the format that is read and written. A teaching without images of the network's own classes is
/// written in the first version, as before there were any.
pub const VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"FNTEACH\n";
/// The largest file.
const MAX_BYTES: usize = 1 << 30;

/// Reads a teaching file.
pub fn read(path: &Path) -> Result<Teaching, FileError> {
    let io = |source| FileError::Io { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = foldnet_archive::open_file(path).map_err(io)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    unpack(&bytes, path)
}

/// Writes a teaching file, whole or not at all.
pub fn write(path: &Path, teaching: &Teaching) -> Result<(), FileError> {
    let io = |source| FileError::Io { path: path.into(), source };
    foldnet_archive::write_file(path, &pack(teaching)).map_err(io)
}

/// The bytes of a teaching file.
pub fn pack(teaching: &Teaching) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    let mut number = |n: u32| bytes.extend(n.to_le_bytes());
    number(if teaching.own.examples.is_empty() { 1 } else { VERSION });
    let calibration = &teaching.calibration;
    number(u32::from(teaching.other == Other::Anomaly));
    number(calibration.asked.0);
    number(calibration.examples);
    number(calibration.rank);
    number(calibration.threshold);
    number(calibration.spread);
    number(teaching.metric.len() as u32);
    number(teaching.classes.len() as u32);
    bytes.extend(teaching.archive);
    bytes.push(teaching.metric.zero as u8);
    bytes.extend(teaching.metric.scales.iter().flat_map(|s| s.to_le_bytes()));
    for class in &teaching.classes {
        bytes.push(class.name.len() as u8);
        bytes.extend(class.name.as_bytes());
        for count in [class.examples.len(), class.prototypes.len(), class.right as usize] {
            bytes.extend((count as u16).to_le_bytes());
        }
        for prototype in &class.prototypes {
            bytes.extend((prototype.examples as u16).to_le_bytes());
            bytes.extend(prototype.mean.iter().flat_map(|m| m.to_le_bytes()));
        }
        for example in &class.examples {
            bytes.extend(example.image.to_le_bytes());
            bytes.extend(example.features.iter().map(|&q| q as u8));
        }
    }
    if !teaching.own.examples.is_empty() {
        pack_own(&mut bytes, teaching);
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// What the second version has behind the classes.
fn pack_own(bytes: &mut Vec<u8>, teaching: &Teaching) {
    let own = &teaching.own;
    bytes.extend(u32::from(own.mixed).to_le_bytes());
    bytes.extend((own.examples.len() as u32).to_le_bytes());
    for example in &own.examples {
        bytes.extend(example.image.to_le_bytes());
        bytes.extend(example.share.to_le_bytes());
    }
    bytes.extend(teaching.distances.iter().flat_map(|d| d.to_le_bytes()));
}

/// Reads the bytes of a teaching file; `path` is for messages.
pub fn unpack(bytes: &[u8], path: &Path) -> Result<Teaching, FileError> {
    let damaged = |what| FileError::Damaged { path: path.into(), what };
    if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
        return Err(FileError::NotATeaching(path.into()));
    }
    let mut from = Reader { rest: &bytes[MAGIC.len()..] };
    // The version first: what follows is another version's affair.
    let version = match from.number() {
        Some(version @ 1..=VERSION) => version,
        Some(found) => return Err(FileError::Version { path: path.into(), found }),
        None => return Err(damaged(CUT)),
    };
    if bytes.len() > MAX_BYTES {
        return Err(damaged("it is too large"));
    }
    let Some((_, sum)) = bytes.split_last_chunk::<4>().filter(|_| from.rest.len() >= 4) else {
        return Err(damaged(CUT));
    };
    if crc32fast::hash(&bytes[..bytes.len() - 4]) != u32::from_le_bytes(*sum) {
        return Err(damaged("its checksum does not fit"));
    }
    from.rest = &from.rest[..from.rest.len() - 4];
    from.teaching(version).map_err(damaged)
}

const CUT: &str = "it ends too early";

/// What is left of a file.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn teaching(&mut self, version: u32) -> Result<Teaching, &'static str> {
        let other = match self.number().ok_or(CUT)? {
            0 => Other::Unknown,
            1 => Other::Anomaly,
            _ => return Err("it has another name for what is unknown"),
        };
        let mut number = || self.number().ok_or(CUT);
        let asked = FalseAlarms::millionths(number()?).ok_or("its rate of false alarms is no share")?;
        let (examples, rank, threshold, spread) = (number()?, number()?, number()?, number()?);
        let (features, classes) = (number()? as usize, number()? as usize);
        if !(1..=MAX_FEATURES).contains(&features) || !(1..=MAX_CLASSES).contains(&classes) {
            return Err("its numbers of features and classes are out of range");
        }
        let archive = self.array().ok_or(CUT)?;
        let zero = self.array().map(i8::from_le_bytes).ok_or(CUT)?;
        let scales: Vec<u16> = self
            .take(2 * features)
            .ok_or(CUT)?
            .as_chunks()
            .0
            .iter()
            .map(|&s| u16::from_le_bytes(s))
            .collect();
        if scales.iter().all(|&scale| scale == 0) {
            return Err("no feature counts");
        }
        let metric = Metric { zero, scales };
        let classes: Vec<Class> =
            (0..classes).map(|_| self.class(features)).collect::<Result<_, &'static str>>()?;
        let (own, distances) = if version > 1 { self.own(examples as usize)? } else { Default::default() };
        if !self.rest.is_empty() {
            return Err("it is too long");
        }
        if (1..classes.len()).any(|i| classes[..i].iter().any(|c| c.name == classes[i].name)) {
            return Err("two classes have one name");
        }
        let calibration = Calibration { asked, examples, rank, threshold, spread };
        let counted: usize = classes.iter().map(|class| class.examples.len()).sum();
        let never = asked == FalseAlarms::NONE && rank == 0 && threshold == NEVER;
        let ranked = asked != FalseAlarms::NONE && (1..=examples).contains(&rank) && threshold != NEVER;
        if spread == 0 || examples as usize > counted || !(never || ranked) {
            return Err("its threshold does not follow from its examples");
        }
        Ok(Teaching { archive, metric, other, classes, calibration, own, distances })
    }

    /// The network's own classes, and the distances of so many held-out examples.
    fn own(&mut self, held_out: usize) -> Result<(Own, Vec<u32>), &'static str> {
        let mixed = match self.number().ok_or(CUT)? {
            0 => false,
            1 => true,
            _ => return Err("it neither replaces nor mixes the network's classes"),
        };
        let count = self.number().ok_or(CUT)? as usize;
        if !(1..=MAX_OWN).contains(&count) {
            return Err("its number of images of the network's classes is out of range");
        }
        let example = |bytes: &[u8; 12]| OwnExample {
            image: u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")),
            share: u32::from_le_bytes(bytes[8..].try_into().expect("four bytes")),
        };
        let examples: Vec<OwnExample> =
            self.take(12 * count).ok_or(CUT)?.as_chunks().0.iter().map(example).collect();
        if examples.iter().any(|e| e.share > crate::own::bits(1.0)) {
            return Err("a share of an image is no share");
        }
        let distances = self.take(4 * held_out).ok_or(CUT)?;
        let distances: Vec<u32> = distances.as_chunks().0.iter().map(|&d| u32::from_le_bytes(d)).collect();
        if !distances.is_sorted() || (mixed && distances.is_empty()) {
            return Err("the distances of its examples are not in order");
        }
        Ok((Own { mixed, examples }, distances))
    }

    fn class(&mut self, features: usize) -> Result<Class, &'static str> {
        let [length] = self.array().ok_or(CUT)?;
        let name = self.take(length.into()).ok_or(CUT)?;
        let name = std::str::from_utf8(name).ok().filter(|name| TeachError::name(name).is_ok());
        let name = name.ok_or("a class has no proper name")?.to_owned();
        let mut count = || self.short().map(usize::from).ok_or(CUT);
        let (examples, prototypes, right) = (count()?, count()?, count()?);
        let possible = (1..=MAX_EXAMPLES).contains(&examples) && (1..=MAX_PROTOTYPES).contains(&prototypes);
        if !possible || right > examples {
            return Err("its numbers of examples are out of range");
        }
        let prototypes: Vec<Prototype> =
            (0..prototypes).map(|_| self.prototype(features)).collect::<Result<_, _>>()?;
        if prototypes.iter().map(|p| p.examples as usize).sum::<usize>() != examples {
            return Err("its prototypes are not those of its examples");
        }
        let mut example = || {
            let image = u64::from_le_bytes(self.array()?);
            let features = self.take(features)?.iter().map(|&q| q as i8).collect();
            Some(Example { image, features })
        };
        let examples = (0..examples).map(|_| example()).collect::<Option<_>>().ok_or(CUT)?;
        Ok(Class { name, examples, prototypes, right: right as u32 })
    }

    fn prototype(&mut self, features: usize) -> Result<Prototype, &'static str> {
        let examples = u32::from(self.short().ok_or(CUT)?);
        let mean = self.take(2 * features).ok_or(CUT)?;
        let mean: Vec<i16> = mean.as_chunks().0.iter().map(|&m| i16::from_le_bytes(m)).collect();
        let length: u64 = mean.iter().map(|&m| u64::from(m.unsigned_abs()).pow(2)).sum();
        if examples == 0 || length > u64::from(MAX_NORM) {
            return Err("a prototype is no mean of directions");
        }
        Ok(Prototype { examples, norm: norm(&mean), mean })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;

    use super::*;
    use crate::teacher::tests::{FEATURES, example, percent, teacher, three};
    use crate::{Mixer, Recognizer};

    fn sample() -> &'static Vec<u8> {
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        BYTES.get_or_init(|| {
            let mut teacher = three(8);
            (0..8).for_each(|n| assert!(teacher.add("both", example(4 + n % 2, n)).unwrap()));
            pack(&teacher.finish(percent(2.5)).unwrap())
        })
    }

    fn unpacked(bytes: &[u8]) -> Result<Teaching, FileError> {
        unpack(bytes, Path::new("x.teach"))
    }

    /// With a checksum that fits.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let end = bytes.len() - 4;
        let sum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let never = teacher_of_one().finish(FalseAlarms::NONE).unwrap();
        let mut anomaly = Teaching { other: Other::Anomaly, ..three(30).finish(percent(1.0)).unwrap() };
        anomaly.metric.zero = -128;
        for teaching in [never, anomaly, unpacked(sample()).unwrap(), with_own(true), with_own(false)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.teach");
            write(&path, &teaching).unwrap();
            assert_eq!(read(&path).unwrap(), teaching);
        }
    }

    /// With images of the network's own classes.
    fn with_own(mixed: bool) -> Teaching {
        let mut teacher = three(8);
        for n in 0..5u8 {
            let share = 0.5 + f32::from(n) / 10.0;
            assert!(teacher.add_own(OwnExample::new(&[n], &[share, 1.0 - share])).unwrap());
        }
        teacher.mix(mixed);
        teacher.finish(percent(5.0)).unwrap()
    }

    fn teacher_of_one() -> crate::Teacher {
        let mut teacher = teacher();
        teacher.add("mug", example(0, 0)).unwrap();
        teacher
    }

    #[test]
    fn the_file_is_the_same_everywhere() {
        // Integer arithmetic alone: another processor or compiler has the same bytes.
        assert_eq!((sample().len(), crc32fast::hash(&sample()[..sample().len() - 4])), (1452, 1_222_789_202));
    }

    #[test]
    fn other_files_are_told_apart_from_damaged_ones() {
        for other in [&b""[..], b"FNTEACH", b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0", &[0; 5000]] {
            assert!(matches!(unpacked(other), Err(FileError::NotATeaching(_))));
        }
        let mut newer = sample().clone();
        newer[8] = 3;
        assert!(matches!(unpacked(&newer), Err(FileError::Version { found: 3, .. })));
        newer[8] = 2;
        assert!(matches!(unpacked(&sealed(newer)), Err(FileError::Damaged { what: CUT, .. })));
        assert_eq!((sample()[8], pack(&with_own(false))[8]), (1, 2));
        for cut in [8, 11, 12, 15, 16, 40, sample().len() - 1] {
            assert!(matches!(unpacked(&sample()[..cut]), Err(FileError::Damaged { .. })), "{cut}");
        }
        let mut longer = sample().clone();
        longer.splice(longer.len() - 4.., [0; 5]);
        assert!(matches!(unpacked(&sealed(longer)), Err(FileError::Damaged { what: "it is too long", .. })));
        assert!(matches!(read(Path::new("absent.teach")), Err(FileError::Io { .. })));
        let full = write(Path::new("/dev/full"), &unpacked(sample()).unwrap());
        assert!(matches!(full, Err(FileError::Io { .. })) || !cfg!(target_os = "linux"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()) {
            let mut bytes = sample().clone();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            prop_assert!(unpacked(&bytes).is_err());
        }

        #[test]
        fn forged_files_are_sound_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            head in any::<bool>(),
            cut in proptest::option::of(any::<prop::sample::Index>()),
            feature in any::<i8>(),
            own in any::<bool>(),
        ) {
            let mut bytes = if own { pack(&with_own(true)) } else { sample().clone() };
            for (at, to) in changes {
                let at = match (head, own) {
                    (true, false) => at.index(200),
                    // The part behind the classes: 5 images and 24 distances.
                    (true, true) => bytes.len() - 4 - at.index(4 + 4 + 5 * 12 + 24 * 4) - 1,
                    (false, _) => at.index(bytes.len()),
                };
                bytes[at] = to;
            }
            if let Some(cut) = cut {
                bytes.truncate(16 + cut.index(bytes.len() - 16));
            }
            let bytes = sealed(bytes);
            if let Ok(teaching) = unpacked(&bytes) {
                prop_assert_eq!(pack(&teaching), bytes);
                if teaching.metric().len() == FEATURES {
                    let mut recognizer = Recognizer::new(&teaching);
                    let answer = recognizer.recognize(&[feature; FEATURES]);
                    prop_assert!(answer.scores.iter().all(|s| (0.0..=1.0).contains(s)));
                    if let Some(mut mixer) = Mixer::new(&teaching, &["a".into(), "b".into()]) {
                        let answer = mixer.recognize(&[feature; FEATURES], &[0.4, 0.6]);
                        prop_assert!(answer.scores.iter().all(|s| (0.0..=1.0).contains(s)));
                    }
                    // What has been read can be taught on.
                    let _ = teaching.into_teacher().finish(percent(5.0));
                }
            }
        }
    }
}
