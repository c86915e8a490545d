//! CIFAR's binary files: a sequence of records without a header.
//!
//! A CIFAR-10 record is a label byte and 3,072 bytes: the planes R, G, B of 32×32 pixels. A CIFAR-100 record has
//! two label bytes, coarse and fine, of which the fine one is used. The file's size determines the kind. A.
//! Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{DatasetError, Source};
use foldnet_image::{Image, ImageError};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

pub(super) struct Cifar {
    name: String,
    file: Mutex<File>,
    records: usize,
    labels: usize,
}

impl Cifar {
    pub(super) fn open(path: &Path) -> Result<Self, DatasetError> {
        let io = |source| DatasetError::Io { path: path.into(), source };
        let file = foldnet_archive::open_file(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let (records, labels) = layout(bytes).ok_or_else(|| DatasetError::Format {
            path: path.into(),
            message: format!(
                "{bytes} bytes are no whole number of CIFAR records (of 3073 bytes, or 3074 for CIFAR-100)"
            ),
        })?;
        Ok(Self { name: super::file_name(path), file: Mutex::new(file), records, labels })
    }
}

impl Source for Cifar {
    fn len(&self) -> usize {
        self.records
    }

    fn is_labelled(&self) -> bool {
        true
    }

    fn name(&self, i: usize) -> String {
        format!("{}[{i}]", self.name)
    }

    fn read(&self, i: usize) -> Result<(Image, Option<usize>), ImageError> {
        let mut record = vec![0; self.labels + 3 * PLANE];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start((i * record.len()) as u64))?;
        file.read_exact(&mut record)?;
        let (labels, planes) = record.split_at(self.labels);
        Ok((interleave(planes), labels.last().map(|&label| label.into())))
    }
}

/// Returns the number of records, and the number of label bytes in each.
fn layout(bytes: u64) -> Option<(usize, usize)> {
    [1, 2].into_iter().find_map(|labels| {
        let record = (labels + 3 * PLANE) as u64;
        let whole = bytes > 0 && bytes.is_multiple_of(record);
        whole.then_some((usize::try_from(bytes / record).ok()?, labels))
    })
}

fn interleave(planes: &[u8]) -> Image {
    let rgb = (0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]).collect();
    Image::new(SIDE, SIDE, rgb).expect("three planes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(bytes: &[u8]) -> Result<Cifar, DatasetError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Cifar::open(file.path())
    }

    #[test]
    fn records_are_read_as_documented() {
        let mut bytes = vec![0; 2 * 3073];
        bytes[3073] = 7;
        (bytes[3074], bytes[3074 + 1024], bytes[3074 + 2048]) = (1, 2, 3);
        let cifar = open(&bytes).unwrap();
        assert_eq!(cifar.len(), 2);
        let (picture, label) = cifar.read(1).unwrap();
        assert_eq!((label, &picture.rgb()[..6]), (Some(7), &[1, 2, 3, 0, 0, 0][..]));
        let mut hundred = vec![0; 3074];
        (hundred[0], hundred[1]) = (5, 77);
        assert_eq!(open(&hundred).unwrap().read(0).unwrap().1, Some(77));
    }

    proptest! {
        #[test]
        fn only_whole_records_are_accepted(bytes in 0..40_000_u64) {
            let whole = bytes > 0 && (bytes % 3073 == 0 || bytes % 3074 == 0);
            prop_assert_eq!(layout(bytes).is_some(), whole);
        }

        #[test]
        fn every_record_of_an_accepted_file_is_read(
            bytes in (1..4_usize, 3072..3075_usize).prop_flat_map(|(n, size)| {
                proptest::collection::vec(any::<u8>(), n * size)
            })
        ) {
            if let Ok(cifar) = open(&bytes) {
                for i in 0..cifar.len() {
                    prop_assert!(cifar.read(i).is_ok());
                }
            }
        }
    }
}
