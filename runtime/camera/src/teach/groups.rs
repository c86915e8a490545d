//! Kept frames of no class, grouped by how alike they look to the network.

use std::path::PathBuf;

use foldnet_teach::{Mixer, Recognizer, Teaching, group};
use serde::Serialize;

use super::album::{file_name, hash_of};
use super::{Desk, DeskError, Inside, Pupil, lock, png};

/// What the network answers for a frame.
pub struct Seen {
    archive: [u8; 32],
    features: Vec<i8>,
    shares: Vec<f32>,
}

/// Frames that look alike.
#[derive(Debug, Serialize)]
pub struct Group {
    /// Its frames, the oldest first.
    pub images: Vec<GroupImage>,
}

/// A kept frame.
#[derive(Debug, Serialize)]
pub struct GroupImage {
    /// Its hash, 16 hexadecimal digits.
    pub id: String,
    /// A JPEG in base64.
    pub thumbnail: String,
}

impl Pupil {
    fn see(&mut self, pixels: &[u8]) -> Option<Seen> {
        let (logits, features) = self.session.run_with_features(pixels)?;
        let mut shares = Vec::new();
        self.own.scores.fill(logits, &mut shares);
        Some(Seen { archive: self.archive, features: features.into(), shares })
    }
}

impl Desk {
    /// The kept frames that are still of no class, in groups; the largest first. None while nothing is taught.
    pub fn groups(&self) -> Result<Vec<Group>, DeskError> {
        let files = self.unknown.images();
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let pupil = self.pupil(&mut inside.pupil)?;
        let (archive, input) = (pupil.archive, pupil.input.clone());
        let Inside { pupil: Some(pupil), teaching: Some(teaching), album, seen, .. } = &mut *inside else {
            return Ok(Vec::new());
        };
        let hashes: Vec<u64> = files.iter().filter_map(|path| hash_of(path)).collect();
        seen.retain(|hash, seen| seen.archive == archive && hashes.contains(hash));
        for (hash, path) in hashes.iter().zip(&files) {
            if !seen.contains_key(hash)
                && let Some(found) = png::read(path, &input).and_then(|pixels| pupil.see(&pixels))
            {
                seen.insert(*hash, found);
            }
        }
        let mut answers = Answers::new(teaching, &pupil.own.labels);
        let kept: Vec<(&PathBuf, &Seen)> =
            files.iter().zip(&hashes).filter_map(|(path, hash)| Some((path, seen.get(hash)?))).collect();
        let strange: Vec<_> = kept.into_iter().filter(|(_, seen)| answers.is_unknown(seen)).collect();
        let features: Vec<&[i8]> = strange.iter().map(|(_, seen)| &seen.features[..]).collect();
        let groups = group(teaching.metric(), &features, teaching.alike());
        let mut shown = |member: usize| {
            let path = strange[member].0;
            let thumbnail = album.small(path, &input)?.to_string();
            Some(GroupImage { id: file_name(hash_of(path)?).replace(".png", ""), thumbnail })
        };
        let groups = groups
            .into_iter()
            .map(|members| Group { images: members.into_iter().filter_map(&mut shown).collect() });
        Ok(groups.filter(|group| !group.images.is_empty()).collect())
    }
}

/// Answers as the camera does.
enum Answers {
    Taught(Recognizer),
    Both(Box<Mixer>),
}

impl Answers {
    fn new(teaching: &Teaching, own: &[String]) -> Self {
        match Mixer::new(teaching, own) {
            Some(mixer) => Self::Both(mixer.into()),
            None => Self::Taught(Recognizer::new(teaching)),
        }
    }

    fn is_unknown(&mut self, seen: &Seen) -> bool {
        match self {
            Self::Taught(recognizer) => recognizer.recognize(&seen.features).class.is_none(),
            Self::Both(mixer) => mixer.recognize(&seen.features, &seen.shares).class.is_none(),
        }
    }
}
