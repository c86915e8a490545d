//! Classifies image files: `cargo run -p foldnet --features decode --example classify -- model.nnef.tgz cat.jpg`

use std::error::Error;
use std::path::Path;

use foldnet::{Classifier, Image};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let archive = arguments.next().ok_or("usage: classify ARCHIVE IMAGE…")?;
    let mut classifier = Classifier::open(archive)?;
    for file in arguments {
        let image = Image::open(Path::new(&file)).map_err(|e| format!("{file}: {e}"))?;
        let best = &classifier.classify(&image)[0];
        println!("{file}: {} ({:.1} %)", best.name, 100.0 * best.score);
    }
    Ok(())
}
