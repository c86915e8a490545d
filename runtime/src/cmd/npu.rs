//! What the subcommands share about the NPU.

use std::path::PathBuf;

use foldnet::{Session, backend::Backend};
use foldnet_archive::{Manifest, Network};
use foldnet_backends::auto::{Auto, cache};
use foldnet_backends::rknn::{Options, Rknn, RknnError};

use super::{Exit, Failure};

/// Where the NPU's library is, and how much of the NPU to use.
#[derive(clap::Args, Clone, Debug)]
pub struct Flags {
    /// Path of Rockchip's librknnrt.so [default: the system's]
    #[arg(long, value_name = "PATH")]
    npu_library: Option<PathBuf>,
    /// Number of NPU cores that take images in turn (RK3588: 3, RK3576: 2)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3))]
    npu_cores: u32,
    /// Keep activations in on-chip memory as far as they fit (RK3588)
    #[arg(long)]
    npu_sram: bool,
}

impl Flags {
    /// The archive's network on the NPU; with `batch`, ready for many images at once.
    pub fn open(&self, network: &Network, manifest: &Manifest, batch: bool) -> Result<Rknn, RknnError> {
        let options =
            Options { library: self.npu_library.clone(), cores: self.npu_cores, sram: self.npu_sram, batch };
        let rknn = Rknn::open(network, manifest, &options)?;
        tracing::info!("NPU: {}, cores {}", rknn.about(), rknn.cores());
        Ok(rknn)
    }

    /// The NPU where it is there and faster, else the CPU.
    pub fn auto(&self, network: &Network, manifest: &Manifest, cpu: Session) -> Result<Auto, Failure> {
        let mut memory = None;
        let npu = match self.open(network, manifest, false) {
            Ok(npu) => {
                // What decides: the models, both sides' versions, and the CPU's share.
                let words =
                    [&manifest.source.sha256, &npu.about(), cpu.set().name(), &cpu.threads().to_string()];
                let name: String = words
                    .join(" ")
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                    .collect();
                memory = cache().map(|folder| folder.join("backend").join(name));
                Some(Box::new(npu) as Box<dyn Backend>)
            }
            Err(problem) => {
                tracing::warn!("NPU: {problem}; going on with the CPU");
                None
            }
        };
        Ok(Auto::new(npu, Box::new(cpu), network.input().len(), memory.as_deref())?)
    }
}

/// The exit code: most of these are the machine's or the archive's, which the user can change.
pub fn exit(error: &RknnError) -> Exit {
    match error {
        RknnError::Other(_) => Exit::Internal,
        _ => Exit::BadInput,
    }
}
