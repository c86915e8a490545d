//! Determines which images training held out, by a rule on their content that holds wherever the files are.
//!
//! ```text
//! key        = the first 8 bytes of SHA-256(seed as 8 bytes ‖ SHA-256(content)), all little-endian
//! held out   ⇔ key < share · 2⁶⁴, but for the keys listed as exceptions
//! ```
//! The content is the file's bytes; for an image inside a larger file (CIFAR, NumPy) it is its RGB bytes, row by
//! row. A model's metadata contains the rule under the key `held_out`, as `foldnet-train` writes it:
//! `share=0.2 seed=7 but=0123456789abcdef,…`.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// The rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    share: f64,
    seed: u64,
    but: HashSet<u64>,
}

impl HeldOut {
    /// Parses the rule from a model's metadata.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |word: &str| format!("{word:?} is not understood; expected share=… seed=… but=…");
        let (mut share, mut seed, mut but) = (None, None, HashSet::new());
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("share", value)) => share = value.parse().ok().filter(|s| (0.0..1.0).contains(s)),
                Some(("seed", value)) => seed = value.parse().ok(),
                Some(("but", value)) => {
                    for key in value.split(',').filter(|k| !k.is_empty()) {
                        but.insert(u64::from_str_radix(key, 16).map_err(|_| bad(word))?);
                    }
                }
                _ => return Err(bad(word)),
            }
        }
        let (Some(share), Some(seed)) = (share, seed) else { return Err(bad(text)) };
        Ok(Self { share, seed, but })
    }

    /// Returns the key of an image.
    fn key(&self, content: &[u8]) -> u64 {
        let seeded = Sha256::new().chain_update(self.seed.to_le_bytes());
        let digest = seeded.chain_update(Sha256::digest(content)).finalize();
        let first = digest.iter().take(8).enumerate();
        first.fold(0, |key, (i, byte)| key | u64::from(*byte) << (8 * i))
    }

    /// Returns whether training held this image out.
    pub fn contains(&self, content: &[u8]) -> bool {
        let key = self.key(content);
        // Neither side's rounding matters: 2⁵³ levels decide.
        let by_rule = ((key >> 11) as f64) < self.share * (1u64 << 53) as f64;
        by_rule != self.but.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_that_of_the_trainer() {
        // The same values are in the trainer's test_pictures.py.
        let rule = HeldOut::parse("share=0.5 seed=7").unwrap();
        assert_eq!(format!("{:016x}", rule.key(b"a picture")), KEY);
        let text = format!("share=0.5 seed=7 but={KEY}");
        let but = HeldOut::parse(&text).unwrap();
        assert_ne!(rule.contains(b"a picture"), but.contains(b"a picture"));
    }

    /// From hashlib: sha256((7).to_bytes(8, "little") + sha256(b"a picture").digest()).digest()[:8].
    const KEY: &str = "3f736fc363d62dda";

    #[test]
    fn its_share_is_held_out() {
        let rule = HeldOut::parse("share=0.2 seed=1").unwrap();
        let held = (0..2000u32).filter(|i| rule.contains(&i.to_le_bytes())).count();
        assert!((300..500).contains(&held), "{held}");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "share=0.2", "seed=1", "share=2 seed=1", "share=0.2 seed=1 but=xyz", "fifth"] {
            assert!(HeldOut::parse(text).is_err(), "{text:?}");
        }
    }
}
