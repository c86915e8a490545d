//! Prints the logits of CIFAR-10 records on this machine's own processor, as JSON: a list of bit patterns per image.
//!
//! `logits ARCHIVE RECORDS`. The Node and browser tests compare with it.

use std::error::Error;

use foldnet::Classifier;

/// Pixels of an image, in planes of red, green and blue.
const PLANE: usize = 32 * 32;

fn main() -> Result<(), Box<dyn Error>> {
    let [archive, records] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "two files")?;
    let mut classifier = Classifier::open(archive)?;
    let mut images = Vec::new();
    for record in std::fs::read(records)?.chunks_exact(1 + 3 * PLANE) {
        let planes = &record[1..];
        let pixels: Vec<u8> = (0..PLANE).flat_map(|i| [0, 1, 2].map(|c| planes[c * PLANE + i])).collect();
        let bits: Vec<String> = classifier.logits(&pixels)?.iter().map(|v| v.to_bits().to_string()).collect();
        images.push(format!("[{}]", bits.join(",")));
    }
    println!("[{}]", images.join(",\n"));
    Ok(())
}
