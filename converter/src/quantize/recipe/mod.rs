//! Quantizes a float graph and makes every decision by the output's error.
//!
//! The error is the noise that quantization adds to the answers, [`Distance::sqnr`], over calibration images on
//! which nothing was measured (see `split`): ranges that fit the observed values too tightly clip others, which
//! shows only on other images. (The error is not the divergence of the answers: a trained network is sure of most
//! of its training images, so a handful of doubtful ones would decide everything, and such decisions do not hold
//! on other images.) The real kernels run the quantized network, so the measured network is the one that will run.
//! The effort is bounded by a number of multiply-accumulates, not by time: the result is the same on every
//! machine.
//!
//! `draft` converts decisions to integers, `search` decides.

mod draft;
mod progress;
mod search;

use foldnet_archive::Network;

use super::QuantizeError;
use super::apart::one_zero;
use super::build::Draft;
use super::center::center;
use super::equalize::{self, Class, RULES};
use super::fuse::{fuse, with_dense_end};
use super::rounding::Care;
use super::score::{Distance, Measure};
use crate::calibrate::{Method, Observation, observe};
use crate::float::{FloatNet, Grids};
use crate::graph::{Graph, NodeId, Op};
use crate::image::Pixels;
use draft::{Source, factors};
pub use progress::{Decision, Progress, Silent};
use search::{Candidate, Search, Trial};

/// The effort of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A single try without a search.
    Low,
    /// Takes seconds for a small network and a minute for a large one.
    Normal,
    /// Like `Normal`, with weights rounded by a search for the smallest error, over more of the images' patches.
    High,
}

impl Effort {
    /// Returns the name used on the command line and in archives.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    fn care(self) -> Care {
        if self == Self::High { Care::Settle } else { Care::Once }
    }

    /// Returns the multiply-accumulates that the search may spend.
    fn budget(self) -> u64 {
        match self {
            Self::Low => 0,
            // A larger budget finds choices that suit only the images that are tried.
            Self::Normal | Self::High => 1_500_000_000_000,
        }
    }
}

/// The decisions of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The method that chooses ranges.
    pub method: Method,
    /// The effort of the search.
    pub effort: Effort,
    /// Whether to use cross-layer equalization if it helps.
    pub equalize: bool,
    /// Whether to use input-aware rounding if it helps.
    pub rounding: bool,
    /// Whether to use bias correction if it helps.
    pub bias: bool,
    /// Whether to add an NPU's roundings, see [`super::apart`].
    pub for_npu: bool,
    /// How answers are compared; if not given, this follows from the graph.
    pub measure: Option<Measure>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::Auto,
            effort: Effort::Normal,
            equalize: true,
            rounding: true,
            bias: true,
            for_npu: false,
            measure: None,
        }
    }
}

/// The result.
pub struct Outcome {
    /// The quantized network.
    pub network: Network,
    /// The same network with an NPU's roundings, if requested.
    pub for_npu: Option<Network>,
    /// The numbers from which it was built; the fusion's slots are the network's tensors.
    pub draft: Draft,
    /// The float graph after [`crate::quantize::fuse::with_dense_end`] and [`crate::quantize::center`]; slots
    /// refer to its nodes.
    pub graph: Graph,
    /// The observations on the calibration images, in the original graph's units.
    pub observation: Observation,
    /// Per node, the factors by which the network's values differ from the float graph's.
    pub factors: equalize::Factors,
    /// The method that chose the range of each slot.
    pub methods: Vec<Method>,
    /// The number of centred tensors, see [`crate::quantize::center`].
    pub centred: usize,
    /// The decisions, in order.
    pub decisions: Vec<Decision>,
    /// The distance on the images used for trying.
    pub distance: Distance,
    /// How answers are compared.
    pub measure: Measure,
}

/// Quantizes a float graph.
pub fn quantize(
    graph: &Graph,
    images: &[Pixels],
    options: Options,
    progress: &dyn Progress,
) -> Result<Outcome, QuantizeError> {
    if images.is_empty() {
        return Err(QuantizeError::NoPictures);
    }
    let measure = options.measure.unwrap_or_else(|| Measure::of_graph(graph));
    let mut options = Options { measure: Some(measure), ..options };
    if !graph.given.is_empty() {
        // The source model has already decided; see `Graph::given`.
        options = Options { effort: Effort::Low, equalize: false, rounding: false, bias: false, ..options };
    }
    let mut graph = with_dense_end(graph);
    check_finite(&graph)?;
    let (fit, trial) = split(images);
    let truth = FloatNet::rounded(&graph, &Grids::default()).logits(&trial)?;
    if options.for_npu {
        one_zero(&mut graph);
    }
    let fusion = fuse(&graph)?;
    let (graph, centred) = match options.effort {
        Effort::Low => (graph, 0),
        _ => center(&graph, &fusion, &fit)?,
    };
    let watch = fusion.nodes();
    let classes = if options.equalize { equalize::classes(&graph) } else { Vec::new() };
    let seen = |images: &[Pixels]| observations(&graph, &watch, &classes, images, options, progress);
    let observation = seen(&fit)?;
    let classes = if options.effort == Effort::Low { Vec::new() } else { classes.clone() };
    let source = Source { graph: &graph, fusion: &fusion, classes: &classes, observation: &observation };
    let mut search = Search::new(source, &fit, Trial { images: trial, truth, measure }, options)?;
    search.run(progress)?;
    let refitted = if fit.len() < images.len() && search.follows_from_plan() {
        let observation = seen(images)?;
        search.refit(&observation, images, progress)?;
        Some(observation)
    } else {
        None
    };
    let for_npu = if options.for_npu { Some(search.for_npu(images, progress)?) } else { None };
    let (Candidate { choices, factors, draft, network, distance }, decisions) = search.finish();
    Ok(Outcome {
        measure,
        for_npu,
        distance,
        factors,
        methods: choices.methods,
        centred,
        decisions,
        draft,
        network,
        graph: graph.clone(),
        observation: refitted.unwrap_or(observation),
    })
}

/// Observes the watched nodes on images, also with each rule's factors if those are tried.
fn observations(
    graph: &Graph,
    watch: &[NodeId],
    classes: &[Class],
    images: &[Pixels],
    options: Options,
    progress: &dyn Progress,
) -> Result<Observation, QuantizeError> {
    let none: equalize::Factors = vec![None; graph.nodes.len()];
    progress.stage("observing", images.len());
    let first = observe(graph, watch, images, std::slice::from_ref(&none), &|| progress.tick())?;
    let sound = |node: &NodeId| first.channels(*node).is_none_or(|c| c.all_finite());
    if let Some(&node) = watch.iter().find(|n| !sound(n)) {
        return Err(QuantizeError::NoValue { node: graph.nodes[node].name.clone() });
    }
    if classes.is_empty() || options.effort == Effort::Low {
        return Ok(first);
    }
    let variants: Vec<_> =
        (0..RULES.len()).map(|rule| factors(graph, classes, &vec![rule; classes.len()], &first)).collect();
    progress.stage("observing, equalized", images.len());
    Ok(observe(graph, watch, images, &variants, &|| progress.tick())?)
}

/// Checks that every weight and bias is a number.
fn check_finite(graph: &Graph) -> Result<(), QuantizeError> {
    for node in &graph.nodes {
        let bad = |values: &[f32], channels: usize| {
            let per_channel = (values.len() / channels.max(1)).max(1);
            values.iter().position(|v| !v.is_finite()).map(|i| i / per_channel)
        };
        let channel = match &node.op {
            Op::Conv(c) => bad(&c.weights, c.bias.len()).or_else(|| bad(&c.bias, c.bias.len())),
            Op::Affine { gain, offset } => bad(gain, gain.len()).or_else(|| bad(offset, offset.len())),
            _ => None,
        };
        if let Some(channel) = channel {
            return Err(QuantizeError::NotFinite { node: node.name.clone(), channel });
        }
    }
    Ok(())
}

/// Splits the images into those for measuring and those for trying, since results of the former must hold on other
/// images. Every third is for trying; a dozen or fewer serve as both.
fn split(images: &[Pixels]) -> (Vec<Pixels>, Vec<Pixels>) {
    if images.len() < 12 {
        return (images.to_vec(), images.to_vec());
    }
    let part = |trial: bool| {
        images.iter().enumerate().filter(|(i, _)| (i % 3 == 2) == trial).map(|(_, p)| p.clone()).collect()
    };
    (part(false), part(true))
}
