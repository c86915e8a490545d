//! `runtime kernels`: what this build can compute with.

use foldnet_kernels::dispatch::{self, REGISTRY};
use serde_json::json;

use super::{Failure, Output};

/// List the kernel sets and which one this CPU uses
#[derive(clap::Args)]
#[command(after_help = "Example:\n  runtime kernels")]
pub struct Cmd {}

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let picked = dispatch::best().name();
        let mut sets = Vec::new();
        for entry in REGISTRY {
            let set = (entry.get)();
            let (runs, picked) = (set.is_some(), entry.name == picked);
            let macs = set.and_then(|set| set.peak_macs_per_cycle());
            if output.json() {
                sets.push(json!({
                    "name": entry.name, "needs": entry.needs, "runs": runs, "picked": picked,
                    "peak_macs_per_cycle": macs,
                }));
                continue;
            }
            let verdict = match (runs, picked) {
                (_, true) => "← chosen: the fastest that this CPU runs",
                (true, _) => "runs here",
                (false, _) => "this CPU lacks what it needs",
            };
            output.line(format!("{:12} needs {:28} {verdict}", entry.name, entry.needs))?;
        }
        output.data(&json!({ "sets": sets, "cpu": std::env::consts::ARCH }))
    }
}
