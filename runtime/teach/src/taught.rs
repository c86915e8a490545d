//! A network that answers with taught classes, in place of its own or beside them.

use foldnet::Session;
use foldnet::backend::{Backend, BackendError};
use foldnet_archive::{OutputKind, Scores};

use crate::error::TeachError;
use crate::mix::Mixer;
use crate::recognize::{Answer, Recognizer};
use crate::teaching::Teaching;

/// Why a teaching does not go with a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaughtError {
    /// It was taught with another archive.
    #[error(
        "it was taught with another archive (SHA-256 {taught}, this one has {given}). Features of different archives cannot be compared, so teach again with this one"
    )]
    Foreign {
        /// The archive that it was taught with.
        taught: String,
        /// The one that is given.
        given: String,
    },
    /// The session has not the features that it compares.
    #[error(transparent)]
    Features(#[from] TeachError),
}

/// A session and the classes that it was taught.
pub struct Taught {
    session: Session,
    says: Says,
}

/// What is answered.
enum Says {
    Taught(Recognizer),
    Both { mixer: Mixer, scores: Scores, shares: Vec<f32> },
}

/// How a network's answer becomes the shares of its own classes, and what these are called.
pub struct OwnClasses {
    /// From the answer to shares.
    pub scores: Scores,
    /// A name for each share.
    pub labels: Vec<String>,
}

impl OwnClasses {
    /// Fails unless the scores are shares of 1.
    pub fn check(&self) -> Result<(), TeachError> {
        if self.scores.kind() == OutputKind::Softmax { Ok(()) } else { Err(TeachError::NoShares) }
    }
}

impl Taught {
    /// `archive` is the SHA-256 of the archive that the session runs; `own` are its network's classes.
    pub fn new(
        session: Session,
        archive: [u8; 32],
        teaching: &Teaching,
        own: &OwnClasses,
    ) -> Result<Self, TaughtError> {
        teaching.check(archive)?;
        let (got, want) = (teaching.metric.len(), session.features_shape().map_or(0, |shape| shape.len()));
        if got != want {
            return Err(TeachError::WrongFeatures { got, want }.into());
        }
        let says = match Mixer::new(teaching, &own.labels) {
            None => Says::Taught(Recognizer::new(teaching)),
            Some(mixer) => {
                own.check()?;
                Says::Both { mixer, scores: own.scores, shares: vec![0.0; own.scores.len()] }
            }
        };
        Ok(Self { session, says })
    }

    /// Which of the classes an image shows: u8 pixels, HWC, of the network's size. Nothing is allocated.
    ///
    /// # Panics
    /// When the number of pixels is wrong.
    pub fn recognize(&mut self, pixels: &[u8]) -> Answer<'_> {
        let (logits, features) = self.session.run_with_features(pixels).expect("a session with features");
        match &mut self.says {
            Says::Taught(recognizer) => recognizer.recognize(features),
            Says::Both { mixer, scores, shares } => {
                scores.fill(logits, shares);
                mixer.recognize(features, shares)
            }
        }
    }
}

impl Backend for Taught {
    fn about(&self) -> String {
        Backend::about(&self.session)
    }

    /// The scores of [`Teaching::labels`], or of [`Teaching::labels_with`] where the network's own classes are mixed in.
    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        Ok(self.recognize(pixels).scores)
    }
}

#[cfg(test)]
mod tests {
    use foldnet_archive::Network;
    use foldnet_archive::testing::{every_step, resnet8};
    use foldnet_kernels::dispatch;

    use super::*;
    use crate::{Example, FalseAlarms, Metric, Other, OwnExample, Teacher};

    const ARCHIVE: [u8; 32] = [9; 32];

    fn image(class: usize, n: usize, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| ((i * (class * 7 + 3) + i / 96 * (n % 8) + n * i % 5) % 251) as u8).collect()
    }

    fn own(network: &Network) -> OwnClasses {
        let manifest = foldnet_archive::testing::manifest_stretched(network);
        let scores = Scores::new(&manifest, network.activation, network.classes());
        let labels = (0..scores.len()).map(|class| scores.name(&manifest, class)).collect();
        OwnClasses { scores, labels }
    }

    fn taught(
        network: &Network,
        set: &'static dyn foldnet_kernels::KernelSet,
        mixed: bool,
    ) -> (Session, Teaching) {
        let mut session = Session::new(network, set, 1).unwrap();
        let mut teacher = Teacher::new(ARCHIVE, Metric::of(network).unwrap(), Other::Unknown);
        for (class, n) in (0..3).flat_map(|class| (0..12).map(move |n| (class, n))) {
            let pixels = image(class, n, network.input().len());
            let (_, features) = session.run_with_features(&pixels).unwrap();
            teacher.add(["one", "two", "three"][class], Example::new(&pixels, features)).unwrap();
        }
        let (own, mut shares) = (own(network), Vec::new());
        for n in 0..20 {
            let pixels = image(3 + n % 2, n, network.input().len());
            own.scores.fill(session.run(&pixels), &mut shares);
            teacher.add_own(OwnExample::new(&pixels, &shares)).unwrap();
        }
        teacher.mix(mixed);
        (session, teacher.finish(FalseAlarms::percent(5.0).unwrap()).unwrap())
    }

    #[test]
    fn every_kernel_set_teaches_and_answers_with_the_same_bits() {
        let network = resnet8();
        for mixed in [false, true] {
            let mut first: Option<(Vec<u8>, Vec<Vec<f32>>)> = None;
            for entry in dispatch::REGISTRY {
                let Some(set) = (entry.get)() else { continue };
                let (session, teaching) = taught(&network, set, mixed);
                let mut taught = Taught::new(session, ARCHIVE, &teaching, &own(&network)).unwrap();
                let scores: Vec<Vec<f32>> = (0..30)
                    .map(|n| taught.classify(&image(n % 5, 40 + n, network.input().len())).unwrap().to_vec())
                    .collect();
                assert_eq!(scores[0].len(), if mixed { 14 } else { 4 });
                let found = (crate::pack(&teaching), scores);
                assert!(*first.get_or_insert_with(|| found.clone()) == found, "{}", entry.name);
            }
        }
    }

    #[test]
    fn another_archive_is_refused() {
        let (session, teaching) = taught(&resnet8(), dispatch::best(), false);
        let refused = Taught::new(session, [8; 32], &teaching, &own(&resnet8())).map(|_| ()).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("0909090909") && said.contains("0808080808"), "{said}");
        let other = Session::new(&every_step(), dispatch::best(), 1).unwrap();
        let refused = Taught::new(other, ARCHIVE, &teaching, &own(&resnet8())).map(|_| ()).unwrap_err();
        assert_eq!(refused, TeachError::WrongFeatures { got: 64, want: 5 }.into());
    }
}
