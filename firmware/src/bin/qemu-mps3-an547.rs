//! An Arm MPS3 with a Cortex-M55.
//!
//! Board: `qemu-system-arm -M mps3-an547`. Pictures come over the first UART, results go there.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use foldnet_firmware::qemu::{Qemu, Uart};
use foldnet_firmware::{
    Arena, Classifier, classify, classify::Counts, classify::refused, frame::Line, report::Report,
};
use foldnet_kernels::Helium;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

foldnet_firmware::no_panic!();

static ARENA: Arena<ARENA_BYTES> = Arena::new();

#[entry]
fn main() -> ! {
    let (mut uart, mut counts) = (Uart::new(), Counts::default());
    if let (Some(memory), Some(core)) = (ARENA.take(), cortex_m::Peripherals::take()) {
        let mut board = Qemu::new(core.SYST);
        match Classifier::new(&PLAN.0, &Helium, memory) {
            Ok(mut classifier) => {
                let mut source = Line::new(uart);
                Report::new(&mut uart).text("{\"board\":\"qemu-mps3-an547\"}").line();
                loop {
                    classify(&mut classifier, &mut source, &mut uart, &mut board, &mut counts);
                }
            }
            Err(error) => {
                Report::new(&mut uart).text("{\"error\":\"").text(refused(error)).text("\"}").line();
            }
        }
    }
    loop {
        cortex_m::asm::wfi();
    }
}
