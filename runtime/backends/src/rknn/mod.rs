//! Rockchip's NPU, through the vendor's library.
//!
//! The backend writes pixels where the NPU reads them, and reads logits where the NPU writes them: in the NPU's
//! own layout, int8 in blocks of channels. A camera's frame is fitted directly into the NPU's memory ([`Memory`]).
//! The NPU could read the camera's own buffer (`rknn_create_mem_from_fd`) only if the camera delivered RGB of the
//! network's size. Besides, that buffer would be in use while the network runs, which starves the driver. Each
//! context is bound to one core. With several contexts, images are distributed over them, and the answers stay in
//! order ([`Rknn::logits`]).
//!
//! How far this is tested: the models are built with the vendor's toolkit and compared with the archive in its
//! simulator (`converter export --rknn`, `tests/peers/npu.py`). Everything in this module runs against a library
//! with the same interface that checks each call (`tests/fake-rknn`). It has not yet run on a physical NPU.

mod context;
mod device;
mod error;

use std::path::PathBuf;
use std::sync::Arc;

use foldnet_archive::{Activation, Manifest, Network, NpuModel};
use rknn_sys::Library;

use context::Context;
use foldnet::activate;
use foldnet::backend::{Backend, BackendError, Memory};

pub use device::{Device, Trouble};
pub use error::RknnError;

/// The oldest driver with which librknnrt is known to work on these chips. Version 2.3.2 itself asks for a newer
/// one if it needs it ([`RknnError::Versions`]).
const LEAST_DRIVER: &str = "0.8.0";

/// The batches of one core, each with the place for its logits.
type Hand<'a> = Vec<(&'a [&'a [u8]], &'a mut [f32])>;

/// How to use the NPU.
#[derive(Clone, Debug)]
pub struct Options {
    /// The path of librknnrt; `None` means the system's own.
    pub library: Option<PathBuf>,
    /// The number of cores that receive images in turn (RK3588: up to 3, RK3576: up to 2).
    pub cores: u32,
    /// Whether activations are in on-chip memory as far as they fit. This needs an RK3588 whose kernel gives the
    /// NPU some.
    pub sram: bool,
    /// Whether [`Rknn::logits`] runs several images at once, if the archive has a model for that.
    pub batch: bool,
}

/// A network on the NPU.
pub struct Rknn {
    /// The contexts for one image at a time.
    single: Group,
    /// The contexts for several images at once.
    batched: Option<Group>,
    target: String,
    library: String,
    driver: String,
    classes: usize,
    activation: Activation,
    scores: Vec<f32>,
}

/// The contexts of one model: the first owns it, the others share it, each on a core of its own.
struct Group(Vec<Context>);

impl Group {
    fn open(
        library: &Arc<Library>,
        npu: &NpuModel,
        network: &Network,
        options: &Options,
        device: &Device,
    ) -> Result<Self, RknnError> {
        let first = Context::load(library.clone(), &npu.model, options.sram);
        let first = first.map_err(|e| RknnError::at_start(e, &npu.target, device))?;
        let mut group = Self(vec![first]);
        for core in 1..options.cores {
            let twin = group.0[0].twin().map_err(RknnError::later)?;
            group.0.push(twin);
            group.0[core as usize].on_core(core).map_err(RknnError::later)?;
        }
        if options.cores > 1 {
            group.0[0].on_core(0).map_err(RknnError::later)?;
        }
        for context in &mut group.0 {
            context.bind(npu.batch as usize, network.input(), network.classes())?;
        }
        Ok(group)
    }
}

impl Rknn {
    /// Loads the archive's model for this chip.
    pub fn open(network: &Network, manifest: &Manifest, options: &Options) -> Result<Self, RknnError> {
        let device = Device::below("/");
        let npu = choose(manifest, device.chip())?;
        let library = Arc::new(match &options.library {
            Some(path) => Library::open_at(path)?,
            None => Library::open()?,
        });
        let single = Group::open(&library, npu, network, options, &device)?;
        let (version, driver) = single.0[0].versions().map_err(RknnError::later)?;
        check_versions(&version, &driver, &npu.toolkit)?;
        let many = manifest.npu.iter().filter(|n| n.target == npu.target && n.batch > 1);
        let batched = match many.max_by_key(|n| n.batch).filter(|_| options.batch) {
            Some(many) => {
                check_versions(&version, &driver, &many.toolkit)?;
                Some(Group::open(&library, many, network, options, &device)?)
            }
            None => None,
        };
        let (classes, activation) = (network.classes(), network.activation);
        let (target, scores) = (npu.target.clone(), vec![0.0; classes]);
        Ok(Self { single, batched, target, library: version, driver, classes, activation, scores })
    }

    /// Returns the number of cores in use.
    pub fn cores(&self) -> usize {
        self.single.0.len()
    }

    /// Returns the number of images that [`Self::logits`] gives each core at once.
    pub fn batch(&self) -> usize {
        self.batched.as_ref().unwrap_or(&self.single).0[0].batch()
    }

    /// Returns the logits of one image: u8 pixels, HWC.
    ///
    /// # Panics
    /// Panics if the number of pixels is wrong.
    pub fn run(&mut self, pixels: &[u8]) -> Result<&[f32], RknnError> {
        self.single.0[0].run([pixels].into_iter(), &mut self.scores).map_err(RknnError::later)?;
        Ok(&self.scores)
    }

    /// Returns the logits of many images, computed on all cores at once, one after another in the order of the
    /// images.
    ///
    /// # Panics
    /// Panics if the number of pixels is wrong.
    pub fn logits(&mut self, pictures: &[&[u8]]) -> Result<Vec<f32>, RknnError> {
        let mut all = vec![0.0; pictures.len() * self.classes];
        let batch = self.batch();
        let contexts = &mut self.batched.as_mut().unwrap_or(&mut self.single).0;
        // Each core gets every n-th batch, with the place for its answers.
        let mut hands: Vec<Hand<'_>> = contexts.iter().map(|_| Vec::new()).collect();
        let cores = hands.len();
        let places = all.chunks_mut(batch * self.classes);
        for (i, (pictures, place)) in pictures.chunks(batch).zip(places).enumerate() {
            hands[i % cores].push((pictures, place));
        }
        std::thread::scope(|scope| {
            let work = |(context, hand): (&mut Context, Hand<'_>)| {
                let one =
                    |(pictures, place): (&[&[u8]], &mut [f32])| context.run(pictures.iter().copied(), place);
                hand.into_iter().try_for_each(one)
            };
            let threads: Vec<_> =
                contexts.iter_mut().zip(hands).map(|job| scope.spawn(move || work(job))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(result) => result.map_err(RknnError::later),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(all)
    }
}

impl Backend for Rknn {
    /// Describes the chip and the versions of library and driver.
    fn about(&self) -> String {
        format!("{}, librknnrt {}, driver {}", self.target, self.library, self.driver)
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        self.run(pixels)?;
        activate(self.activation, &mut self.scores);
        Ok(&self.scores)
    }

    fn memory(&mut self) -> Option<&mut dyn Memory> {
        self.single.0[0].pixels().is_some().then_some(self as &mut dyn Memory)
    }
}

/// The NPU's input memory, if its rows have no margin.
impl Memory for Rknn {
    fn pixels(&mut self) -> &mut [u8] {
        self.single.0[0].pixels().unwrap_or_default()
    }

    fn classify(&mut self) -> Result<&[f32], BackendError> {
        self.single.0[0].run_filled(1, &mut self.scores).map_err(RknnError::later)?;
        activate(self.activation, &mut self.scores);
        Ok(&self.scores)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The first context owns what the others share, so it is dropped last.
        while self.0.pop().is_some() {}
    }
}

/// Returns the archive's model for this chip; on an unknown chip, the only model if there is just one.
fn choose(manifest: &Manifest, chip: Option<String>) -> Result<&NpuModel, RknnError> {
    // RK3566 and RK3568 have the same NPU.
    let same =
        |a: &str, b: &str| a == b || (["rk3566", "rk3568"].contains(&a) && ["rk3566", "rk3568"].contains(&b));
    let single: Vec<&NpuModel> = manifest.npu.iter().filter(|n| n.batch == 1).collect();
    let found = match (&chip, &single[..]) {
        (Some(chip), all) => all.iter().find(|n| same(&n.target, chip)).copied(),
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let have: Vec<&str> = single.iter().map(|n| n.target.as_str()).collect();
        RknnError::NoModel {
            wanted: chip.clone().unwrap_or_else(|| "an NPU".into()),
            have: if have.is_empty() { "none".into() } else { have.join(", ") },
            example: chip.unwrap_or_else(|| "rk3588".into()),
        }
    })
}

/// Returns the numbers at the start of a version such as `2.3.2 (429f97ae6b@2025-04-09)`.
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
