//! Generates the memory map of the board selected by feature for the linker, and the plan for the program.
//!
//! The catalogue provides the board's data. `FOLDNET_PLAN` names the plan's file, which `converter export --plan`
//! writes; `FOLDNET_LABELS` may name a file with its classes, one per line. A plan that the board cannot run is
//! refused here: one of another version or for another processor, a damaged one, or one that is too large. The
//! program itself checks at its start for damage in flash.

use std::path::{Path, PathBuf};
use std::{env, fs};

use foldnet_catalogue::{Board, Memory, Needs, built_in, misfits};
use foldnet_plan::format::Header;

/// The section of the plan; no other section needs its alignment.
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
    println!("cargo:rerun-if-changed=boards");
    for board in built_in() {
        let Some(memories) = board.mcu.as_ref().filter(|m| m.firmware.is_some()).and_then(|m| m.memories())
        else {
            continue;
        };
        let feature = format!("CARGO_FEATURE_{}", board.id.to_uppercase().replace('-', "_"));
        if env::var_os(feature).is_none() {
            continue;
        }
        fs::write(out.join("memory.x"), memory_map(&board, memories)).expect("OUT_DIR can be written");
        // Real parts get their interrupts from their HAL.
        if board.qemu.is_some() {
            fs::write(out.join("device.x"), "/* No interrupts. */\n").expect("OUT_DIR can be written");
        }
        println!("cargo:rustc-link-search={}", out.display());
        if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
            println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
        }
        if env::var_os("CARGO_FEATURE_KERNEL_TESTS").is_none() {
            plan(&out, &board);
        }
    }
}

/// Returns the memories, the additions of `boards/<board>.x`, and the plan's section.
fn memory_map(board: &Board, [flash, ram]: [Memory; 2]) -> String {
    let line = |name: &str, m: Memory| format!("  {name} : ORIGIN = {:#010x}, LENGTH = {}\n", m.at, m.bytes);
    let map = format!("MEMORY\n{{\n{}{}}}\n", line("FLASH", flash), line("RAM", ram));
    map + &fs::read_to_string(format!("boards/{}.x", board.id)).unwrap_or_default() + PLAN_SECTION
}

/// Writes `plan.rs`: the plan's bytes, aligned, and the size of its working memory.
fn plan(out: &Path, board: &Board) {
    println!("cargo:rerun-if-env-changed=FOLDNET_PLAN");
    let path = env::var("FOLDNET_PLAN")
        .expect("FOLDNET_PLAN names no plan: make one with `converter export --board`");
    println!("cargo:rerun-if-changed={path}");
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let needs = Needs::of_plan(&bytes).unwrap_or_else(|e| {
        panic!("{path}: {e}; make it again with `converter export --board {}`", board.id)
    });
    let why = misfits(&needs, board);
    assert!(why.is_empty(), "{path}: {}", why.join("; "));
    let header = Header::parse(&bytes).expect("it was parsed above");
    let (height, width, classes) = (header.input.h, header.input.w, header.classes as usize);
    fs::copy(&path, out.join("plan.bin")).unwrap_or_else(|e| panic!("{path}: {e}"));
    let labels = labels(classes);
    let text = format!(
        "/// Bytes of working memory that the plan needs.\n\
         const ARENA_BYTES: usize = {};\n\
         #[unsafe(link_section = \".plan\")]\n\
         static PLAN: [u8; {}] = *include_bytes!(concat!(env!(\"OUT_DIR\"), \"/plan.bin\"));\n\
         /// Columns and rows of the network's image.\n\
         #[allow(dead_code)]\n\
         const PICTURE: (usize, usize) = ({width}, {height});\n\
         /// Its classes.\n\
         #[allow(dead_code)]\n\
         static LABELS: [&str; {}] = {labels:?};\n",
        needs.ram,
        bytes.len(),
        labels.len()
    );
    fs::write(out.join("plan.rs"), text).expect("OUT_DIR can be written");
}

/// Returns the names of the classes, or their numbers if they have no names.
fn labels(classes: usize) -> Vec<String> {
    println!("cargo:rerun-if-env-changed=FOLDNET_LABELS");
    let Some(path) = env::var_os("FOLDNET_LABELS").map(PathBuf::from) else {
        // A network with one output decides between two classes.
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
