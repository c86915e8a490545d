//! An Arm MPS2+ with a Cortex-M4.
//!
//! Board: `qemu-system-arm -M mps2-an386`. The first UART receives images and sends results.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use foldnet_firmware::{Arena, qemu};
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

foldnet_firmware::no_panic!();

static ARENA: Arena<ARENA_BYTES> = Arena::new();

#[entry]
fn main() -> ! {
    qemu::run("{\"board\":\"qemu-mps2-an386\"", &PLAN, &Dsp, &ARENA)
}
