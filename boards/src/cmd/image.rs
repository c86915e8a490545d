//! `boards image`: a container image, for fleets that are kept by k3s, balena and their like.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk};
use crate::device::files;
use crate::oci::{Program, architecture, image};
use crate::protocol::{RUNTIME, machine};
use crate::remote::flash::{is_for, programs_for};

/// Write a container image of `runtime` and an archive, for arm64 and amd64
///
/// An OCI layout in a tar file, made without a daemon: `skopeo copy --all oci-archive:FILE docker://…` brings
/// it to a registry, `k3s ctr images import FILE` to a node.
#[derive(clap::Args)]
pub struct Cmd {
    /// The archive that `converter quantize` wrote
    archive: PathBuf,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Rust's names of the processors to make it for
    #[arg(
        long,
        value_name = "TARGET",
        value_delimiter = ',',
        default_value = "aarch64-unknown-linux-musl,x86_64-unknown-linux-musl"
    )]
    targets: Vec<String>,
    /// Folder with a folder of each target's name with `runtime` in it; by default where `boards build` puts
    /// them
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// The image's tag
    #[arg(long, default_value = "latest")]
    tag: String,
    /// Arguments of `runtime camera`, behind `--`
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
        let input = |path: &PathBuf, e: std::io::Error| Failure::Input(format!("{}: {e}", path.display()));
        let archive = std::fs::read(&self.archive).map_err(|e| input(&self.archive, e))?;
        let program = |target: &String| {
            let unknown = || Failure::Input(format!("no image can be made for {target}"));
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
        talk.result(&Outcome { output: &self.output, architectures, bytes: bytes.len() }, text);
        Ok(())
    }
}
