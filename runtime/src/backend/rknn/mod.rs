//! Rockchip's NPU, through the vendor's library.
//!
//! The pixels are written where the NPU reads them, the logits are read where it writes them: in its own
//! layout, int8 in blocks of channels. Each context is bound to one core; with several, pictures are dealt
//! out to them and the answers stay in order ([`Rknn::logits`]).
//!
//! How far this is tested: the models are built and compared with the archive in the vendor's simulator
//! (`converter export --rknn`, `tests/peers/npu.py`); everything here runs against a library with the same
//! interface that checks each call (`tests/fake-rknn`). It has not yet run on a physical NPU.

mod context;
mod device;
mod error;

use std::path::PathBuf;
use std::sync::Arc;

use foldnet_archive::{Activation, Manifest, Network, NpuModel};
use rknn_sys::Library;

use super::{Backend, BackendError};
use crate::session::activate;
use context::Context;

pub use device::{Device, Trouble};
pub use error::RknnError;

/// The oldest driver that librknnrt has been seen to work with on these chips; 2.3.2 asks for a newer one itself
/// where it needs it ([`RknnError::Versions`]).
const LEAST_DRIVER: &str = "0.8.0";

/// Pictures for one core, each with the place for its logits.
type Hand<'a> = Vec<(&'a [u8], &'a mut [f32])>;

/// How to use the NPU.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where librknnrt is; `None`: where the system has it.
    pub library: Option<PathBuf>,
    /// Cores that get pictures in turn (RK3588: up to 3, RK3576: up to 2).
    pub cores: u32,
    /// Whether activations go into on-chip memory as far as they fit; on an RK3588 whose kernel gives the NPU
    /// some.
    pub sram: bool,
}

/// A network on the NPU.
pub struct Rknn {
    /// The first has the model, the others share it.
    contexts: Vec<Context>,
    target: String,
    library: String,
    driver: String,
    classes: usize,
    activation: Activation,
    scores: Vec<f32>,
}

impl Rknn {
    /// Loads the archive's model for this chip.
    pub fn open(network: &Network, manifest: &Manifest, options: &Options) -> Result<Self, RknnError> {
        let device = Device::below("/");
        let npu = choose(manifest, device.chip())?;
        let library = match &options.library {
            Some(path) => Library::open_at(path)?,
            None => Library::open()?,
        };
        let first = Context::load(Arc::new(library), &npu.model, options.sram);
        let first = first.map_err(|e| RknnError::at_start(e, &npu.target, &device))?;
        let (library, driver) = first.versions().map_err(RknnError::later)?;
        check_versions(&library, &driver, &npu.toolkit)?;
        let (classes, activation) = (network.classes(), network.activation);
        let (target, scores) = (npu.target.clone(), vec![0.0; classes]);
        let contexts = vec![first];
        let mut new = Self { contexts, target, library, driver, classes, activation, scores };
        let cores = options.cores;
        for core in 1..cores {
            let twin = new.contexts[0].twin().map_err(RknnError::later)?;
            new.contexts.push(twin);
            new.contexts[core as usize].on_core(core).map_err(RknnError::later)?;
        }
        if cores > 1 {
            new.contexts[0].on_core(0).map_err(RknnError::later)?;
        }
        for context in &mut new.contexts {
            context.bind(network.input(), classes)?;
        }
        Ok(new)
    }

    /// Cores in use.
    pub fn cores(&self) -> usize {
        self.contexts.len()
    }

    /// The logits of one picture: u8 pixels, HWC.
    ///
    /// # Panics
    /// When the number of pixels is wrong.
    pub fn run(&mut self, pixels: &[u8]) -> Result<&[f32], RknnError> {
        self.contexts[0].run(pixels, &mut self.scores).map_err(RknnError::later)?;
        Ok(&self.scores)
    }

    /// The logits of many pictures on all cores at once, one after another in the order of the pictures.
    ///
    /// # Panics
    /// When the number of pixels is wrong.
    pub fn logits(&mut self, pictures: &[&[u8]]) -> Result<Vec<f32>, RknnError> {
        let mut all = vec![0.0; pictures.len() * self.classes];
        // Each core gets every n-th picture with the place for its answer.
        let mut hands: Vec<Hand<'_>> = self.contexts.iter().map(|_| Vec::new()).collect();
        let cores = hands.len();
        for (i, (&picture, place)) in pictures.iter().zip(all.chunks_exact_mut(self.classes)).enumerate() {
            hands[i % cores].push((picture, place));
        }
        std::thread::scope(|scope| {
            let work = |(context, hand): (&mut Context, Hand<'_>)| {
                hand.into_iter().try_for_each(|(picture, place)| context.run(picture, place))
            };
            let threads: Vec<_> =
                self.contexts.iter_mut().zip(hands).map(|job| scope.spawn(move || work(job))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(result) => result.map_err(RknnError::later),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(all)
    }
}

impl Backend for Rknn {
    /// The chip, and the versions of library and driver.
    fn about(&self) -> String {
        format!("{}, librknnrt {}, driver {}", self.target, self.library, self.driver)
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        self.run(pixels)?;
        activate(self.activation, &mut self.scores);
        Ok(&self.scores)
    }
}

impl Drop for Rknn {
    fn drop(&mut self) {
        // The first owns what the others share.
        while self.contexts.pop().is_some() {}
    }
}

/// The archive's model for this chip; on a chip that is not known, the only one that there is.
fn choose(manifest: &Manifest, chip: Option<String>) -> Result<&NpuModel, RknnError> {
    // RK3566 and RK3568 have the same NPU.
    let same =
        |a: &str, b: &str| a == b || (["rk3566", "rk3568"].contains(&a) && ["rk3566", "rk3568"].contains(&b));
    let found = match (&chip, &manifest.npu[..]) {
        (Some(chip), all) => all.iter().find(|n| same(&n.target, chip)),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let have: Vec<&str> = manifest.npu.iter().map(|n| n.target.as_str()).collect();
        RknnError::NoModel {
            wanted: chip.clone().unwrap_or_else(|| "an NPU".into()),
            have: if have.is_empty() { "none".into() } else { have.join(", ") },
            example: chip.unwrap_or_else(|| "rk3588".into()),
        }
    })
}

/// The numbers in front of a version such as `2.3.2 (429f97ae6b@2025-04-09)`.
fn numbers(version: &str) -> Vec<u32> {
    let word = version.split_whitespace().next().unwrap_or("");
    word.trim_start_matches('v').split('.').map_while(|n| n.parse().ok()).collect()
}

fn check_versions(library: &str, driver: &str, toolkit: &str) -> Result<(), RknnError> {
    if numbers(driver) < numbers(LEAST_DRIVER) {
        return Err(RknnError::DriverTooOld { driver: driver.into(), least: LEAST_DRIVER });
    }
    if numbers(library) < numbers(toolkit) {
        return Err(RknnError::LibraryTooOld { library: library.into(), toolkit: toolkit.into() });
    }
    if numbers(library) != numbers(toolkit) {
        tracing::warn!("the model was built with toolkit {toolkit}, librknnrt here is {library}");
    }
    Ok(())
}
