//! `runtime verify`: whether this machine computes the same bits as the converter did.

use std::path::PathBuf;

use foldnet::Session;
use foldnet::proof::{self, VerifyError};
use foldnet_archive::{Manifest, Network};
use foldnet_kernels::KernelSet;
use foldnet_kernels::dispatch::REGISTRY;
use serde_json::json;

use super::{Engine, Failure, Output, count, printable, read};

/// Check that this machine computes the same bits as the converter did
///
/// The archive holds a checksum of the network's answers to a few generated images. This runs the network on the same
/// images and compares. Exits with code 3 if the bits differ.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  runtime verify model.nnef.tgz\n  runtime verify model.nnef.tgz --all-kernels"
)]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Check every kernel set that this CPU runs
    #[arg(long, conflicts_with = "kernels")]
    all_kernels: bool,
    /// Accept archives of earlier releases, which hold no checksum
    #[arg(long)]
    allow_missing: bool,
    /// Kernel set to check [default: the fastest; see `runtime kernels`]
    #[arg(long, value_name = "NAME")]
    kernels: Option<String>,
}

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let (sets, (network, manifest)) = (self.sets()?, read(&self.archive)?);
        let file = self.archive.to_string_lossy();
        let mut wrong = Vec::new();
        for set in sets {
            match check(&network, &manifest, set)? {
                Ok(()) => {}
                Err(VerifyError::Differs { set }) => wrong.push(set),
                Err(VerifyError::Missing) if self.allow_missing => {
                    let text = format!("{}: no checksum to compare with", printable(&file));
                    return output.result(&json!({ "archive": self.archive, "same": null }), text);
                }
                Err(error) => return Err(Failure::input(format_args!("{file}: {error}"))),
            }
            let same = !wrong.contains(&set.name());
            let images = manifest.proof.as_ref().map_or(0, |proof| proof.images as usize);
            let verdict = if same { "the same bits" } else { "OTHER BITS" };
            let text = format!("{:12} {verdict} on {}", set.name(), count(images, "image"));
            let data =
                json!({ "archive": self.archive, "kernels": set.name(), "images": images, "same": same });
            output.result(&data, text)?;
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure::limit(format_args!(
            "{file}: {} computes other bits than the converter did. Its answers cannot be trusted on this machine; \
             please report this with the output of `runtime kernels`",
            wrong.join(", ")
        )))
    }

    fn sets(&self) -> Result<Vec<&'static dyn KernelSet>, Failure> {
        if self.all_kernels {
            return Ok(REGISTRY.iter().filter_map(|entry| (entry.get)()).collect());
        }
        let engine = Engine { kernels: self.kernels.clone(), no_cache: true };
        Ok(vec![engine.set()?])
    }
}

/// The network is compiled anew: a plan from the cache would only be proved as it is today.
fn check(
    network: &Network,
    manifest: &Manifest,
    set: &'static dyn KernelSet,
) -> Result<Result<(), VerifyError>, Failure> {
    let mut session = Session::new(network, set, 1)?;
    Ok(proof::verify(&mut session, manifest.proof.as_ref()))
}
