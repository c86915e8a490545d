//! Writes the fuzzers' seeds: `fuzz_seeds FOLDER` makes a folder of them for each target.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let to = PathBuf::from(std::env::args_os().nth(1).expect("a folder"));
    for target in foldnet_tests::fuzz::TARGETS {
        let folder = to.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (i, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{i}")), seed)?;
        }
    }
    Ok(())
}
