//! Prints what a network's steps consist of for a core, and runs them with a marker behind each, for an emulator that
//! counts the cycles between markers.
//!
//! `mark_steps ARCHIVE CORE [--run|--run-once]`
//!
//! One line of JSON for each step. With `--run`, which needs AArch64, the instruction `hint #126`, which does nothing
//! else, stands before and behind a whole inference and then behind each step of a second one. With `--run-once` the
//! first inference is left out: of a network that no cache holds it leaves nothing to the second.
//! `tests/peers/board_times.py` makes the table of costs of it.

use std::error::Error;
use std::path::Path;

use foldnet::Session;
use foldnet_archive::Network;
use foldnet_catalogue::times::{self, Step, Term};
use foldnet_kernels::dispatch;
use foldnet_plan::{Aligned, Single};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (archive, core, first) = match &words[..] {
        [archive, core] => (archive, core, None),
        [archive, core, option] if option == "--run" => (archive, core, Some(true)),
        [archive, core, option] if option == "--run-once" => (archive, core, Some(false)),
        _ => return Err("usage: mark_steps ARCHIVE CORE [--run|--run-once]".into()),
    };
    let (network, _) = foldnet_archive::read(Path::new(archive))?;
    let steps = times::steps(&network)?;
    print(&network, &steps, core)?;
    first.map_or(Ok(()), |first| inferences(&network, first))
}

fn print(network: &Network, steps: &[Step], core: &str) -> Result<(), Box<dyn Error>> {
    let core = times::built_in().core(core).ok_or("the table does not have this core")?;
    let (_, streams) = times::total(&core.machine, steps)?;
    for (step, of) in steps.iter().zip(&network.steps) {
        let amounts = times::amounts(step, &core.machine, streams)?;
        let amounts = Term::ALL.iter().map(|&term| (term.name().to_owned(), amounts.get(term).into()));
        let amounts: serde_json::Map<_, _> =
            amounts.filter(|(_, amount): &(_, serde_json::Value)| *amount != 0.0).collect();
        let line = serde_json::json!({
            "name": of.name(), "operator": of.operator().word(), "amounts": amounts, "shape": format!("{step:?}"),
        });
        println!("{line}");
    }
    Ok(())
}

/// An inference with a marker behind each step; if `first`, behind another one, which fetches what stays in caches.
fn inferences(network: &Network, first: bool) -> Result<(), Box<dyn Error>> {
    let session = Session::new(network, dispatch::best(), 1)?;
    let plan = session.plan();
    let mut memory = Aligned::zeroed(plan.memory_bytes(1));
    let pixels: Vec<u8> = (0..session.input().len()).map(|i| ((i * 181) >> 3) as u8).collect();
    if first {
        mark()?;
        plan.run(&Single, &mut memory, &pixels, |_, _| {});
    }
    mark()?;
    let mut marked = Ok(());
    plan.run(&Single, &mut memory, &pixels, |_, _| marked = mark());
    Ok(marked?)
}

#[cfg(target_arch = "aarch64")]
fn mark() -> Result<(), &'static str> {
    // SAFETY: a hint that no processor defines does nothing.
    unsafe { std::arch::asm!("hint #126") };
    Ok(())
}

#[cfg(not(target_arch = "aarch64"))]
fn mark() -> Result<(), &'static str> {
    Err("only AArch64 has the instruction that marks")
}
