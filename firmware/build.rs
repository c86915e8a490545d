//! Gives the linker the memory map of the board that the features name.

use std::path::PathBuf;
use std::{env, fs};

/// The boards that have a binary here: feature and memory map have the board's name.
const BOARDS: &[&str] = &["qemu-mps2-an386", "qemu-mps2-an500", "qemu-mps3-an547"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    for board in BOARDS {
        let feature = format!("CARGO_FEATURE_{}", board.to_uppercase().replace('-', "_"));
        if env::var_os(feature).is_none() {
            continue;
        }
        let map = format!("boards/{board}.x");
        println!("cargo:rerun-if-changed={map}");
        fs::copy(&map, out.join("memory.x")).unwrap_or_else(|e| panic!("{map}: {e}"));
        println!("cargo:rustc-link-search={}", out.display());
    }
}
