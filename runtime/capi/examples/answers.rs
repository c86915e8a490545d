//! Prints what the Rust interface answers on each record of a CIFAR file, in the format of `tests/answers.c`, so that
//! `.ci/c` can compare the two: `cargo run --release -p foldnet-capi --example answers -- model.nnef.tgz records.bin`.

use std::error::Error;

const PLANE: usize = 32 * 32;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(archive), Some(records)) = (arguments.next(), arguments.next()) else {
        return Err("usage: answers ARCHIVE RECORDS".into());
    };
    let mut classifier = engine::Classifier::builder().threads(1).open(archive)?;
    for (number, record) in std::fs::read(records)?.chunks_exact(1 + 3 * PLANE).enumerate() {
        let pixels: Vec<u8> = (0..PLANE).flat_map(|i| [0, 1, 2].map(|c| record[1 + c * PLANE + i])).collect();
        print!("{number}");
        print(classifier.scores(&pixels)?);
        print(classifier.logits(&pixels)?);
        println!();
    }
    Ok(())
}

fn print(values: &[f32]) {
    for value in values {
        print!(" {:08x}", value.to_bits());
    }
}
