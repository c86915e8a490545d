//! Gives the linker the memory map of the board that the features name, and the program its plan.
//!
//! The plan is the file that `FOLDNET_PLAN` names, made by `converter export --plan`; `FOLDNET_LABELS` may
//! name a file with its classes, one a line.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The boards that have a binary here: feature and memory map have the board's name.
const BOARDS: &[&str] = &[
    "nrf52840-dk",
    "qemu-mps2-an386",
    "qemu-mps2-an500",
    "qemu-mps3-an547",
    "rp2350-pico2",
    "stm32f746g-disco",
];

/// Where sizes stand in a plan's header: arena and scratch, the picture's rows and columns, classes.
const ARENA_AT: usize = 20;
const INPUT_AT: usize = 28;
const CLASSES_AT: usize = 44;

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
        if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
            println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
        }
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
    let side =
        |at| word(at).filter(|n| (1..1 << 15).contains(n)).unwrap_or_else(|| panic!("{path} is no plan"));
    let (height, width, classes) = (side(INPUT_AT), side(INPUT_AT + 4), side(CLASSES_AT));
    let memory = arena.next_multiple_of(64) + scratch.next_multiple_of(64);
    fs::copy(&path, out.join("plan.bin")).unwrap_or_else(|e| panic!("{path}: {e}"));
    let text = format!(
        "const _: () = {{\n    \
         let plan = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/plan.bin\"));\n    \
         let version = u32::from_le_bytes([plan[4], plan[5], plan[6], plan[7]]);\n    \
         assert!(version == foldnet_plan::format::VERSION, \"FOLDNET_PLAN is of another version: export it again\");\n\
         }};\n\
         /// Bytes of working memory that the plan wants.\n\
         const ARENA_BYTES: usize = {memory};\n\
         static PLAN: foldnet_firmware::Constants<{}> =\n    \
         foldnet_firmware::Constants(*include_bytes!(concat!(env!(\"OUT_DIR\"), \"/plan.bin\")));\n\
         /// Columns and rows of the network's picture.\n\
         #[allow(dead_code)]\n\
         const PICTURE: (usize, usize) = ({width}, {height});\n\
         /// Its classes.\n\
         #[allow(dead_code)]\n\
         static LABELS: [&str; {classes}] = {:?};\n",
        bytes.len(),
        labels(classes as usize)
    );
    fs::write(out.join("plan.rs"), text).expect("OUT_DIR can be written");
}

/// The classes' names, or their numbers where nobody names them.
fn labels(classes: usize) -> Vec<String> {
    println!("cargo:rerun-if-env-changed=FOLDNET_LABELS");
    let Some(path) = env::var_os("FOLDNET_LABELS").map(PathBuf::from) else {
        return (0..classes).map(|class| format!("class {class}")).collect();
    };
    println!("cargo:rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    assert!(labels.len() == classes, "{}: {} lines for {classes} classes", path.display(), labels.len());
    labels
}
