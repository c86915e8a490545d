//! Gives the linker the memory map of the board that the features name, and the program its plan.
//!
//! The plan is the file that `FOLDNET_PLAN` names, made by `converter export --plan`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The boards that have a binary here: feature and memory map have the board's name.
const BOARDS: &[&str] = &["qemu-mps2-an386", "qemu-mps2-an500", "qemu-mps3-an547", "rp2350-pico2"];

/// Where the arena's size stands in a plan's header, and the plan's version.
const ARENA_AT: usize = 20;

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
        // Real parts have their interrupts from their HAL.
        if board.starts_with("qemu") {
            fs::write(out.join("device.x"), "/* No interrupts. */\n").expect("OUT_DIR can be written");
        }
        println!("cargo:rustc-link-search={}", out.display());
        if env::var_os("CARGO_FEATURE_KERNEL_TESTS").is_none() {
            plan(&out);
        }
    }
}

/// Writes `plan.rs`: the plan's bytes, aligned, and the size of the memory that it wants.
fn plan(out: &Path) {
    println!("cargo:rerun-if-env-changed=FOLDNET_PLAN");
    let path = env::var("FOLDNET_PLAN")
        .expect("FOLDNET_PLAN names no plan: make one with `converter export --plan`");
    println!("cargo:rerun-if-changed={path}");
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let (Some(arena), Some(scratch)) = (word(ARENA_AT), word(ARENA_AT + 4)) else {
        panic!("{path} is not a plan");
    };
    assert!(bytes.starts_with(b"FNPL") && arena < 1 << 30 && scratch < 1 << 30, "{path} is not a plan");
    let memory = arena.next_multiple_of(64) + scratch.next_multiple_of(64);
    fs::copy(&path, out.join("plan.bin")).unwrap_or_else(|e| panic!("{path}: {e}"));
    let text = format!(
        "/// Bytes of working memory that the plan wants.\n\
         const ARENA_BYTES: usize = {memory};\n\
         static PLAN: foldnet_firmware::Constants<{}> =\n    \
         foldnet_firmware::Constants(*include_bytes!(concat!(env!(\"OUT_DIR\"), \"/plan.bin\")));\n",
        bytes.len()
    );
    fs::write(out.join("plan.rs"), text).expect("OUT_DIR can be written");
}
