//! The images of a conversion, as hashes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{From, hex};

/// The hash of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHash([u8; 32]);

/// How many hexadecimal digits of each image's hash are recorded. They only identify an image that differs; equality
/// follows from the hash over all images.
const DIGITS: usize = 8;

impl ImageHash {
    /// The hash of an image.
    ///
    /// `name` is its path below the folder, with `/` between the parts, which determines its class and its place. It is
    /// empty for an image inside a larger file, whose name changes nothing. `label` is the class that such a file states.
    /// `content` is the image file's bytes, or the RGB bytes of an image inside a larger file.
    pub fn of(name: &str, label: Option<usize>, content: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(label.map_or(u64::MAX, |label| label as u64).to_le_bytes());
        hash.update(Sha256::digest(content));
        Self(hash.finalize().into())
    }

    /// The digits that are recorded for it.
    pub fn digits(self) -> String {
        hex(&self.0[..DIGITS / 2])
    }
}

/// Returns the hexadecimal SHA-256 of the names of class folders, in their order; `None` without class folders. An empty
/// class folder has no images, but changes the numbers of the classes after it.
pub fn classes_hash(folders: &[String]) -> Option<String> {
    let mut hash = Sha256::new();
    for name in folders {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    (!folders.is_empty()).then(|| hex(&hash.finalize()))
}

/// The images that were read, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSet {
    /// Whether they are files, built in or noise.
    pub from: From,
    /// How many were used for calibration.
    pub calibration: usize,
    /// How many were used for the check.
    pub check: usize,
    /// The hexadecimal SHA-256 of the hashes of all images, one after the other.
    pub sha256: String,
    /// See [`classes_hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// The first digits of each image's hash, one image after the other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub each: String,
}

impl ImageSet {
    /// Of these images, of which this many calibrate.
    pub fn of(from: From, calibration: usize, hashes: &[ImageHash]) -> Self {
        let mut all = Sha256::new();
        hashes.iter().for_each(|hash| all.update(hash.0));
        Self {
            from,
            calibration,
            check: hashes.len().saturating_sub(calibration),
            sha256: hex(&all.finalize()),
            classes: None,
            each: hashes.iter().map(|hash| hash.digits()).collect(),
        }
    }

    /// Images that the converter contains or generates: their number says everything.
    pub fn own(from: From, calibration: usize, check: usize) -> Self {
        Self { calibration, check, ..Self::of(from, 0, &[]) }
    }

    /// The recorded digits of each image; those at the end of a damaged list are left out.
    pub fn digits(&self) -> impl Iterator<Item = &str> {
        let whole = |at: usize| self.each.get(at..at + DIGITS);
        (0..self.each.len() / DIGITS).filter_map(move |i| whole(i * DIGITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_label_and_content_count() {
        let hash = ImageHash::of("cat/1.png", None, b"pixels");
        assert_eq!(hash, ImageHash::of("cat/1.png", None, b"pixels"));
        for other in [
            ImageHash::of("dog/1.png", None, b"pixels"),
            ImageHash::of("cat/1.png", Some(0), b"pixels"),
            ImageHash::of("cat/1.png", None, b"others"),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn order_counts_and_each_image_is_listed() {
        let (a, b) = (ImageHash::of("a", None, b"a"), ImageHash::of("b", None, b"b"));
        let set = ImageSet::of(From::File, 1, &[a, b]);
        assert_eq!((set.calibration, set.check), (1, 1));
        assert_ne!(set.sha256, ImageSet::of(From::File, 1, &[b, a]).sha256);
        assert_eq!(set.digits().collect::<Vec<_>>(), [a.digits(), b.digits()]);
        // Recorded text is anybody's.
        let damaged = ImageSet { each: "1234567ä".into(), ..set };
        assert_eq!(damaged.digits().count(), 0);
    }

    #[test]
    fn class_folders_count_with_their_order() {
        let hash = |names: &[&str]| classes_hash(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(hash(&[]), None);
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
    }
}
