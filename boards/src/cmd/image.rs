//! `boards image`: writes a container image, for fleets managed by k3s, balena and similar tools.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk};
use crate::device::files;
use crate::oci::{Program, architecture, image};
use crate::protocol::{RUNTIME, machine};
use crate::remote::flash::{is_for, programs_for};

/// Write a container image with `runtime` and an archive
///
/// The image is an OCI layout in a tar file for arm64 and amd64, written without a container daemon. Its programs
/// come from `boards build TARGET`. `skopeo copy --all oci-archive:FILE docker://…` copies it to a registry and
/// `k3s ctr images import FILE` to a node.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards image model.nnef.tgz -o foldnet.tar -- --listen 0.0.0.0:8080")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// File to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Rust targets of the programs, separated by commas
    #[arg(
        long,
        value_name = "TARGET",
        value_delimiter = ',',
        default_value = "aarch64-unknown-linux-musl,x86_64-unknown-linux-musl"
    )]
    targets: Vec<String>,
    /// Folder that contains TARGET/runtime for each target [default: where `boards build` puts it]
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Tag of the image
    #[arg(long, default_value = "latest")]
    tag: String,
    /// Arguments for `runtime camera`, after `--`
    #[arg(last = true, value_name = "ARGUMENT")]
    args: Vec<String>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    output: &'a PathBuf,
    architectures: Vec<&'static str>,
    bytes: usize,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        foldnet_archive::read(&self.archive)?;
        let input = |path: &PathBuf, e: std::io::Error| Failure::input(format!("{}: {e}", path.display()));
        let archive = std::fs::read(&self.archive).map_err(|e| input(&self.archive, e))?;
        let program = |target: &String| {
            let unknown = || {
                Failure::input(format!(
                    "--targets {target}: only x86_64 and aarch64 Linux targets are supported"
                ))
            };
            let architecture = architecture(target).ok_or_else(unknown)?;
            let folder =
                self.binaries.as_ref().map_or_else(|| programs_for(target), |f| Ok(f.join(target)))?;
            let path = folder.join(RUNTIME);
            let runtime = std::fs::read(&path).map_err(|e| input(&path, e))?;
            is_for(&path, &runtime, machine(target))?;
            Ok(Program { architecture, runtime })
        };
        let programs = self.targets.iter().map(program).collect::<Result<Vec<_>, Failure>>()?;
        let bytes = image(&programs, &archive, &self.args, &self.tag).map_err(|e| input(&self.output, e))?;
        files::write(&self.output, &bytes).map_err(|e| input(&self.output, e))?;
        let architectures: Vec<_> = programs.iter().map(|p| p.architecture).collect();
        let kb = bytes.len() / 1024;
        let text = format!("{}: {kb} kB, for {}", self.output.display(), architectures.join(" and "));
        talk.result(&Outcome { output: &self.output, architectures, bytes: bytes.len() }, text)?;
        Ok(())
    }
}
