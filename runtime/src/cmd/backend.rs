//! `--backend`: what computes, for the subcommands that answer with labels.

use std::path::Path;

use foldnet::Session;
use foldnet::backend::Backend;
use foldnet_archive::{Activation, Manifest, Network, OutputKind, Scores};
use foldnet_teach::{OwnClasses, Taught};

#[cfg(any(feature = "rknn", feature = "tract"))]
use super::read;
use super::{Engine, Failure};

/// What computes.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub struct Choice {
    #[command(flatten)]
    engine: Engine,
    /// Number of CPU threads; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// What runs the network
    #[arg(long, value_enum, default_value_t = By::Cpu, help_heading = "Engine")]
    backend: By,
    #[cfg(feature = "rknn")]
    #[command(flatten)]
    npu: super::npu::Flags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Foldnet's own int8 kernels
    Cpu,
    /// The NPU if it answers and is faster (measured once, then remembered), else the CPU
    #[cfg(feature = "rknn")]
    Auto,
    /// A Rockchip NPU
    #[cfg(feature = "rknn")]
    Rknn,
    /// Stock tract, on the same int8 archive: slow, for comparison
    #[cfg(feature = "tract")]
    Tract,
    /// tract, with the weights turned back into f32
    #[cfg(feature = "tract")]
    Float,
}

/// An archive that can be run.
pub struct Loaded {
    /// Runs it.
    pub backend: Box<dyn Backend>,
    /// From its answers to scores.
    pub scores: Scores,
    /// What the archive says of itself.
    pub manifest: Manifest,
    /// The label of an image that is of no class, where there is such a label.
    pub other: Option<&'static str>,
}

/// The classes that a network has without a teaching file.
pub fn own_classes(manifest: &Manifest, activation: Activation, outputs: usize) -> OwnClasses {
    let scores = Scores::new(manifest, activation, outputs);
    let labels = (0..scores.len()).map(|class| scores.name(manifest, class)).collect();
    OwnClasses { scores, labels }
}

impl Choice {
    /// Loads an archive for it, to say its own classes, or those of a teaching file.
    pub fn load(&self, archive: &Path, teaching: Option<&Path>) -> Result<Loaded, Failure> {
        match teaching {
            Some(file) => self.load_taught(archive, file),
            None => self.load_own(archive),
        }
    }

    /// A session for a network, to do with it what no other backend can.
    pub fn session(&self, network: &Network, flag: &str) -> Result<Session, Failure> {
        self.only_cpu(flag)?;
        self.engine.session(network, self.threads)
    }

    /// Makes heat maps of what an archive, or a teaching file over it, answers.
    #[cfg(feature = "serve")]
    pub fn explainer(
        &self,
        archive: &Path,
        teaching: Option<&Path>,
    ) -> Result<foldnet_camera::heat::Explainer, Failure> {
        self.only_cpu("the heat map")?;
        let (network, manifest) = super::read(archive)?;
        let maps = foldnet::explain::HeatMaps::of(&network).map_err(Failure::input)?;
        let teaching = teaching.map(foldnet_teach::read).transpose()?;
        let scores = Scores::new(&manifest, network.activation, network.classes());
        let pair = scores.len() > maps.classes();
        let own = own_classes(&manifest, network.activation, network.classes()).labels;
        let session = self.engine.session(&network, 1)?;
        Ok(foldnet_camera::heat::Explainer { session, maps, pair, teaching, own })
    }

    /// Refuses backends for which a flag does nothing.
    pub fn only_cpu(&self, flag: &str) -> Result<(), Failure> {
        if self.backend == By::Cpu {
            return Ok(());
        }
        Err(Failure::input(format_args!("{flag} works with --backend cpu only")))
    }

    fn load_taught(&self, archive: &Path, file: &Path) -> Result<Loaded, Failure> {
        self.only_cpu("--teach")?;
        let teaching = foldnet_teach::read(file)?;
        let hash = foldnet_teach::hash_archive(archive)?;
        let (manifest, session) = self.engine.load(archive, self.threads)?;
        let own = own_classes(&manifest, session.activation(), session.classes());
        let mixed = teaching.own().is_mixed();
        let labels = if mixed { teaching.labels_with(&own.labels) } else { teaching.labels() };
        let taught = Taught::new(session, hash, &teaching, &own)
            .map_err(|error| Failure::input(format_args!("{}: {error}", file.display())))?;
        // The scores are shares, with nothing left to apply.
        let manifest = Manifest { labels, output: Some(OutputKind::Softmax), ..manifest };
        let scores = Scores::new(&manifest, Activation::Softmax, manifest.labels.len());
        let other = teaching.calibration().tells_unknown().then(|| teaching.other().name());
        Ok(Loaded { backend: Box::new(taught), scores, manifest, other })
    }

    /// A network that learns while another one classifies: on one thread, for it has time.
    #[cfg(feature = "serve")]
    pub fn pupil(&self, archive: &Path) -> Result<foldnet_camera::teach::Pupil, Failure> {
        let hash = foldnet_teach::hash_archive(archive)?;
        let (network, manifest) = super::read(archive)?;
        let at_archive = |error| Failure::input(format_args!("{}: {error}", archive.display()));
        let metric = foldnet_teach::Metric::of(&network).map_err(at_archive)?;
        let session = self.engine.session(&network, 1)?;
        let own = own_classes(&manifest, network.activation, network.classes());
        Ok(foldnet_camera::teach::Pupil { archive: hash, input: manifest.input, session, metric, own })
    }

    fn load_own(&self, archive: &Path) -> Result<Loaded, Failure> {
        #[cfg(feature = "tract")]
        use foldnet_tract::{Float, Stock};

        #[cfg(any(feature = "rknn", feature = "tract"))]
        let with_network = |backend: Box<dyn Backend>, network: Network, manifest: Manifest| Loaded {
            backend,
            scores: Scores::new(&manifest, network.activation, network.classes()),
            manifest,
            other: None,
        };
        Ok(match self.backend {
            By::Cpu => {
                let (manifest, session) = self.engine.load(archive, self.threads)?;
                let scores = Scores::new(&manifest, session.activation(), session.classes());
                Loaded { backend: Box::new(session), scores, manifest, other: None }
            }
            #[cfg(feature = "rknn")]
            By::Auto => {
                let (network, manifest) = read(archive)?;
                let (_, cpu) = self.engine.load(archive, self.threads)?;
                let auto = self.npu.auto(&network, &manifest, cpu)?;
                with_network(Box::new(auto), network, manifest)
            }
            #[cfg(feature = "rknn")]
            By::Rknn => {
                let (network, manifest) = read(archive)?;
                let npu = self.npu.open(&network, &manifest, false)?;
                with_network(Box::new(npu), network, manifest)
            }
            #[cfg(feature = "tract")]
            By::Tract => {
                let (network, manifest) = read(archive)?;
                let stock = Stock::load(archive, network.input())?;
                with_network(Box::new(stock), network, manifest)
            }
            #[cfg(feature = "tract")]
            By::Float => {
                let (network, manifest) = read(archive)?;
                let float = Float::new(&network)?;
                with_network(Box::new(float), network, manifest)
            }
        })
    }
}
