//! Proves that a processor computes the same bits as the machine that quantized the network.
//!
//! The converter runs the finished network on a few images that anybody can generate again ([`Noise`]) and stores
//! the SHA-256 of the logits in the archive. A program that opens the archive runs the network on the same images
//! and compares.

use foldnet_archive::Proof;
use foldnet_kernels::Shape;

use crate::session::Session;

/// The number of images on which the converter proves a network.
pub const IMAGES: u32 = 4;
/// The largest number of images that an archive may ask for.
const MOST: u32 = 64;

/// The reason why the bits are not proved to be the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The archive contains no proof.
    #[error(
        "the archive has no proof of its answers; convert the model again with this release's `converter`"
    )]
    Missing,
    /// This build cannot run the archive's proof.
    #[error("the archive's proof asks for {0} images; 1 to {MOST} are supported")]
    Images(u32),
    /// The logits differ.
    #[error("the kernel set {set} computes other bits on this processor than the converter did")]
    Differs {
        /// The kernel set that ran.
        set: &'static str,
    },
}

/// Generates images of noise over noise of lower frequency, the same everywhere: xorshift64* (Vigna, 2016) from a
/// fixed seed.
pub struct Noise(u64);

impl Default for Noise {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u32
    }

    /// Returns the next image, HWC.
    pub fn image(&mut self, shape: Shape) -> Vec<u8> {
        let Shape { h, w, c } = shape;
        let coarse: Vec<u32> = (0..64 * c).map(|_| self.next()).collect();
        (0..shape.len())
            .map(|k| {
                let (pixel, channel) = (k / c, k % c);
                let (y, x) = (pixel / w * 8 / h, pixel % w * 8 / w);
                ((coarse[(y * 8 + x) * c + channel] * 3 + self.next()) / 4) as u8
            })
            .collect()
    }
}

/// Returns this session's answers to the first images of [`Noise`].
pub fn prove(session: &mut Session, images: u32) -> Proof {
    let (mut noise, shape) = (Noise::default(), session.input());
    let mut logits = Vec::new();
    for _ in 0..images {
        let pixels = noise.image(shape);
        logits.extend(session.run(&pixels).iter().flat_map(|logit| logit.to_le_bytes()));
    }
    Proof { images, logits: foldnet_archive::digest(&logits) }
}

/// Checks against the archive's proof that this session computes the same bits as the converter did.
pub fn verify(session: &mut Session, proof: Option<&Proof>) -> Result<(), VerifyError> {
    let proof = proof.ok_or(VerifyError::Missing)?;
    if !(1..=MOST).contains(&proof.images) {
        return Err(VerifyError::Images(proof.images));
    }
    if prove(session, proof.images) == *proof {
        return Ok(());
    }
    Err(VerifyError::Differs { set: session.set().name() })
}

#[cfg(test)]
mod tests {
    use foldnet_archive::Step;
    use foldnet_archive::testing::every_step;
    use foldnet_kernels::dispatch::REGISTRY;

    use super::*;

    #[test]
    fn every_kernel_set_proves_the_same() {
        let network = every_step();
        let mut proof = None;
        for set in REGISTRY.iter().filter_map(|entry| (entry.get)()) {
            let mut session = Session::new(&network, set, 1).unwrap();
            let proof = proof.get_or_insert_with(|| prove(&mut session, IMAGES));
            assert_eq!(verify(&mut session, Some(proof)), Ok(()), "{}", set.name());
        }
    }

    #[test]
    fn another_network_and_a_damaged_proof_are_noticed() {
        let session = |network| Session::new(&network, foldnet_kernels::dispatch::best(), 1).unwrap();
        let mut right = session(every_step());
        let proof = prove(&mut right, 2);
        let mut network = every_step();
        for step in &mut network.steps {
            if let Step::Conv(conv) = step {
                conv.bias.iter_mut().for_each(|bias| *bias += 5);
            }
        }
        let differs = VerifyError::Differs { set: right.set().name() };
        assert_eq!(verify(&mut session(network), Some(&proof)), Err(differs.clone()));
        let other = Proof { logits: proof.logits.replace(&proof.logits[..1], "x"), ..proof.clone() };
        assert_eq!(verify(&mut right, Some(&other)), Err(differs));
        assert_eq!(verify(&mut right, None), Err(VerifyError::Missing));
        for images in [0, 65, u32::MAX] {
            let asked = verify(&mut right, Some(&Proof { images, ..proof.clone() }));
            assert_eq!(asked, Err(VerifyError::Images(images)));
        }
    }

    #[test]
    fn the_images_are_the_same_everywhere() {
        // This hash must never change: with other images, the proofs of all archives would be worthless.
        let image = Noise::default().image(Shape::new(3, 5, 2));
        assert_eq!(
            foldnet_archive::digest(&image),
            "1f60b57d844303c97536beeadbebea1d1776d3917bca36d55248a2771c935e9d"
        );
    }
}
