//! Gives the linker the memory map of the board that the features name, and the program its plan.
//!
//! The plan is the file that `FOLDNET_PLAN` names, made by `converter export --plan`; `FOLDNET_LABELS` may
//! name a file with its classes, one a line. A plan that the board cannot run does not get into a program:
//! another version, another processor's and a damaged one are refused here, one that is too large by the
//! linker. What can happen to it later, in flash, the program itself looks for at its start.

use std::path::{Path, PathBuf};
use std::{env, fs};

use foldnet_plan::format::Header;

/// The boards that have a binary here, and their kernel set: feature and memory map have the board's name.
const BOARDS: &[(&str, &str)] = &[
    ("nrf52840-dk", "dsp"),
    ("qemu-mps2-an386", "dsp"),
    ("qemu-mps2-an500", "dsp"),
    ("qemu-mps3-an547", "helium"),
    ("rp2350-pico2", "dsp"),
    ("stm32f746g-disco", "dsp"),
];

/// Where the plan lies, of which no other section has to have the alignment.
const PLAN_SECTION: &str = "
SECTIONS
{
  .plan : ALIGN(64)
  {
    KEEP(*(.plan));
    . = ALIGN(4);
  } > FLASH
} INSERT AFTER .rodata;
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    for (board, set) in BOARDS {
        let feature = format!("CARGO_FEATURE_{}", board.to_uppercase().replace('-', "_"));
        if env::var_os(feature).is_none() {
            continue;
        }
        let map = format!("boards/{board}.x");
        println!("cargo:rerun-if-changed={map}");
        let text = fs::read_to_string(&map).unwrap_or_else(|e| panic!("{map}: {e}"));
        fs::write(out.join("memory.x"), text + PLAN_SECTION).expect("OUT_DIR can be written");
        // Real parts have their interrupts from their HAL.
        if board.starts_with("qemu") {
            fs::write(out.join("device.x"), "/* No interrupts. */\n").expect("OUT_DIR can be written");
        }
        println!("cargo:rustc-link-search={}", out.display());
        if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
            println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
        }
        if env::var_os("CARGO_FEATURE_KERNEL_TESTS").is_none() {
            plan(&out, board, set);
        }
    }
}

/// Writes `plan.rs`: the plan's bytes, aligned, and the size of the memory that it wants.
fn plan(out: &Path, board: &str, set: &str) {
    println!("cargo:rerun-if-env-changed=FOLDNET_PLAN");
    let path = env::var("FOLDNET_PLAN")
        .expect("FOLDNET_PLAN names no plan: make one with `converter export --plan`");
    println!("cargo:rerun-if-changed={path}");
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let again = format!("make it again with `converter export --board {board}`");
    let header = Header::parse(&bytes).unwrap_or_else(|why| panic!("{path}: {why}: {again}"));
    assert!(
        header.is_for(set),
        "{path} is a plan for `{}`, {board} wants `{set}`: {again}",
        header.set_name()
    );
    let (height, width, classes) = (header.input.h, header.input.w, header.classes as usize);
    fs::copy(&path, out.join("plan.bin")).unwrap_or_else(|e| panic!("{path}: {e}"));
    let labels = labels(classes);
    let text = format!(
        "/// Bytes of working memory that the plan wants.\n\
         const ARENA_BYTES: usize = {};\n\
         #[unsafe(link_section = \".plan\")]\n\
         static PLAN: [u8; {}] = *include_bytes!(concat!(env!(\"OUT_DIR\"), \"/plan.bin\"));\n\
         /// Columns and rows of the network's picture.\n\
         #[allow(dead_code)]\n\
         const PICTURE: (usize, usize) = ({width}, {height});\n\
         /// Its classes.\n\
         #[allow(dead_code)]\n\
         static LABELS: [&str; {}] = {labels:?};\n",
        header.memory_bytes(1),
        bytes.len(),
        labels.len()
    );
    fs::write(out.join("plan.rs"), text).expect("OUT_DIR can be written");
}

/// The classes' names, or their numbers where nobody names them.
fn labels(classes: usize) -> Vec<String> {
    println!("cargo:rerun-if-env-changed=FOLDNET_LABELS");
    let Some(path) = env::var_os("FOLDNET_LABELS").map(PathBuf::from) else {
        // One output decides between two classes.
        let named = if classes == 1 { 2 } else { classes };
        return (0..named).map(|class| format!("class {class}")).collect();
    };
    println!("cargo:rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let fits = labels.len() == classes || (classes, labels.len()) == (1, 2);
    assert!(fits, "{}: {} lines for {classes} classes", path.display(), labels.len());
    labels
}
