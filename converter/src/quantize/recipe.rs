//! The whole way from a float graph to a network, every decision made by the output's error.
//!
//! Error is the noise that quantization adds to the logits, [`Distance::sqnr`], over calibration pictures
//! that nothing was measured on (see `split`): ranges that fit what was seen too tightly cut off what was
//! not, which shows on other pictures only.
//! (Not the divergence of the answers: a trained network is sure of most pictures it was trained on, so
//! that a handful of doubtful ones would decide everything, and decisions made on them do not hold on
//! others.)
//! The quantized network is run by the real kernels, so what is measured is what will run. How much is
//! tried is bounded by a number of multiply-accumulates, not by time: the result is the same on every
//! machine.

use std::collections::HashMap;
use std::sync::Mutex;

use foldnet_archive::{Activation, Network};

use super::apart::{Ranges, apart, one_zero, settle, tune};
use super::build::{Draft, Packed, effective_bias, pixel_zero};
use super::center::center;
use super::equalize::{self, Class, RULES};
use super::fuse::{Layer, Layout, SlotId, fuse, with_dense_end};
use super::rounding::{Care, Rounded, Rounder};
use super::score::{Distance, logits};
use super::{QuantizeError, bias, rounding, weights};
use crate::calibrate::{Method, Observation, Range, in_lanes, observe};
use crate::float::{FloatNet, Grids};
use crate::graph::{Graph, NodeId, Op};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Effort {
    /// One try: no search.
    Low,
    /// Seconds for a small network, a minute for a large one.
    Normal,
    /// As much, and weights rounded by a search for the least error, over more of the pictures' patches.
    High,
}

impl Effort {
    fn care(self) -> Care {
        if self == Self::High { Care::Settle } else { Care::Once }
    }

    /// Multiply-accumulates that may be spent on trying.
    fn budget(self) -> u64 {
        match self {
            Self::Low => 0,
            // More of it finds what suits the pictures that it tries, not others.
            Self::Normal | Self::High => 1_500_000_000_000,
        }
    }
}

/// What the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How ranges are chosen.
    pub method: Method,
    /// How much is tried.
    pub effort: Effort,
    /// Cross-layer equalization, where it helps.
    pub equalize: bool,
    /// Rounding that looks at inputs, where it helps.
    pub rounding: bool,
    /// Bias correction, where it helps.
    pub bias: bool,
    /// Whether to give the network an NPU's roundings, see [`super::apart`].
    pub for_npu: bool,
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
        }
    }
}

/// Told what is going on.
pub trait Progress: Sync {
    /// A stage of this many ticks begins.
    fn stage(&self, name: &str, ticks: usize);
    /// One tick of it is done.
    fn tick(&self);
}

/// No reports.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: usize) {}
    fn tick(&self) {}
}

/// A pass that changes numbers, and what came of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Decision {
    /// The pass.
    pub pass: String,
    /// Signal to noise of the logits before, in dB.
    pub before: f64,
    /// Signal to noise of the logits after, in dB.
    pub after: f64,
    /// Whether its result was kept.
    pub kept: bool,
    /// In words.
    pub note: String,
}

impl Decision {
    /// Kept if it lowers the noise.
    pub fn new(pass: &str, before: f64, after: f64, note: String) -> Self {
        Self { pass: pass.into(), before, after, kept: after > before, note }
    }
}

/// The result.
pub struct Outcome {
    /// The quantized network.
    pub network: Network,
    /// The same with an NPU's roundings, where that was asked for.
    pub for_npu: Option<Network>,
    /// The numbers it was built from; the layout's slots are the network's tensors.
    pub draft: Draft,
    /// The float graph with [`crate::quantize::fuse::with_dense_end`] and [`crate::quantize::center`]
    /// applied; its nodes are what slots refer to.
    pub graph: Graph,
    /// What was seen on the calibration pictures, in the original graph's units.
    pub observation: Observation,
    /// Per node, the factors by which the network's values differ from the float graph's.
    pub factors: equalize::Factors,
    /// Per slot, the method its range was chosen by.
    pub methods: Vec<Method>,
    /// Tensors that were centred, see [`crate::quantize::center`].
    pub centred: usize,
    /// In order.
    pub decisions: Vec<Decision>,
    /// On the pictures used for trying.
    pub distance: Distance,
}

/// Quantizes.
pub fn quantize(
    graph: &Graph,
    pictures: &[Vec<u8>],
    options: Options,
    progress: &dyn Progress,
) -> Result<Outcome, QuantizeError> {
    if pictures.is_empty() {
        return Err(QuantizeError::NoPictures);
    }
    let mut options = options;
    if !graph.given.is_empty() {
        // Somebody has decided before; see `Graph::given`.
        options = Options { effort: Effort::Low, equalize: false, rounding: false, bias: false, ..options };
    }
    let mut graph = with_dense_end(graph);
    check_finite(&graph)?;
    let (fit, trial) = split(pictures);
    let truth = FloatNet::rounded(&graph, &Grids::default())?.logits(&trial)?;
    if options.for_npu {
        one_zero(&mut graph);
    }
    let layout = fuse(&graph)?;
    let (graph, centred) = match options.effort {
        Effort::Low => (graph, 0),
        _ => center(&graph, &layout, &fit)?,
    };
    let watch = layout.nodes();
    let classes = if options.equalize { equalize::classes(&graph) } else { Vec::new() };
    let seen = |pictures: &[Vec<u8>]| observations(&graph, &watch, &classes, pictures, options, progress);
    let observation = seen(&fit)?;
    let classes = if options.effort == Effort::Low { Vec::new() } else { classes.clone() };
    let mut search = Search::new(&graph, layout, classes, &observation, &fit, (trial, truth), options)?;
    search.run(progress)?;
    let refitted = if fit.len() < pictures.len() && search.follows_from_plan() {
        let observation = seen(pictures)?;
        search.refit(&observation, pictures, progress)?;
        Some(observation)
    } else {
        None
    };
    let for_npu = if options.for_npu { Some(search.for_npu(pictures, progress)?) } else { None };
    let Search { best, decisions, .. } = search;
    Ok(Outcome {
        for_npu,
        distance: best.distance,
        factors: best.factors,
        methods: best.plan.methods,
        centred,
        decisions,
        draft: best.draft,
        network: best.network,
        graph: graph.clone(),
        observation: refitted.unwrap_or(observation),
    })
}

/// What is seen of the watched nodes on pictures, also with each rule's factors where those are tried.
fn observations(
    graph: &Graph,
    watch: &[NodeId],
    classes: &[Class],
    pictures: &[Vec<u8>],
    options: Options,
    progress: &dyn Progress,
) -> Result<Observation, QuantizeError> {
    let none: equalize::Factors = vec![None; graph.nodes.len()];
    progress.stage("observing", pictures.len());
    let first = observe(graph, watch, pictures, std::slice::from_ref(&none), &|| progress.tick())?;
    let sound = |node: &NodeId| first.channels(*node).is_none_or(|c| c.all_finite());
    if let Some(&node) = watch.iter().find(|n| !sound(n)) {
        return Err(QuantizeError::NoValue { node: graph.nodes[node].name.clone() });
    }
    if classes.is_empty() || options.effort == Effort::Low {
        return Ok(first);
    }
    let variants: Vec<_> =
        (0..RULES.len()).map(|rule| factors(graph, classes, &vec![rule; classes.len()], &first)).collect();
    progress.stage("observing, equalized", pictures.len());
    Ok(observe(graph, watch, pictures, &variants, &|| progress.tick())?)
}

/// Every weight and bias is a number.
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

/// Pictures to measure on, and pictures to try on: what is found on the former must hold on others.
/// Every third goes to the latter; a dozen or fewer serve as both.
fn split(pictures: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    if pictures.len() < 12 {
        return (pictures.to_vec(), pictures.to_vec());
    }
    let part = |trial: bool| {
        pictures.iter().enumerate().filter(|(i, _)| (i % 3 == 2) == trial).map(|(_, p)| p.clone()).collect()
    };
    (part(false), part(true))
}

/// The factors per node when each class follows the rule of that number.
fn factors(
    graph: &Graph,
    classes: &[Class],
    rules: &[usize],
    observation: &Observation,
) -> equalize::Factors {
    let mut all: equalize::Factors = vec![None; graph.nodes.len()];
    for (class, &rule) in classes.iter().zip(rules).filter(|(_, rule)| **rule > 0) {
        let factors = equalize::factors(graph, class, RULES[rule], observation);
        for &node in &class.nodes {
            all[node] = Some(factors.clone());
        }
    }
    all
}

/// The decisions that define a draft before rounding and bias correction.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    /// Per class.
    rules: Vec<usize>,
    /// Per slot.
    methods: Vec<Method>,
    /// Per slot, a factor on the range.
    stretch: Vec<f32>,
}

impl Plan {
    /// Nothing equalized, every range by one method.
    fn first(classes: usize, layout: &Layout, options: Options) -> Self {
        let method = if options.method == Method::Auto { Method::Mse } else { options.method };
        let slots = layout.slots.len();
        Self { rules: vec![0; classes], methods: vec![method; slots], stretch: vec![1.0; slots] }
    }
}

/// A draft with its network and what came out.
#[derive(Clone)]
struct Candidate {
    plan: Plan,
    factors: equalize::Factors,
    draft: Draft,
    network: Network,
    distance: Distance,
}

struct Search<'a> {
    graph: &'a Graph,
    layout: Layout,
    classes: Vec<Class>,
    observation: &'a Observation,
    options: Options,
    /// The pictures that are measured.
    pictures: &'a [Vec<u8>],
    /// Those that candidates are tried on, and the float network's logits for them.
    trial: Vec<Vec<u8>>,
    truth: Vec<Vec<f32>>,
    /// Rounds by inputs while searching, where that is affordable.
    rounder: Option<Rounder>,
    nearest: Nearest,
    budget: u64,
    cost: u64,
    activation: Activation,
    best: Candidate,
    /// A pass behind the search, which a plan does not tell, has changed the best network.
    changed_later: bool,
    decisions: Vec<Decision>,
}

/// Factors on a range that are tried.
const STRETCHES: [f32; 4] = [0.9, 1.1, 1.25, 0.8];
/// At most this many pictures decide.
const TRIAL: usize = 256;

/// Pictures that a trial may run: it should cost no more than a twentieth of what may be spent.
fn affordable(macs: u64, effort: Effort) -> usize {
    ((effort.budget() / 20 / macs.max(1)) as usize).clamp(8, TRIAL)
}

impl<'a> Search<'a> {
    fn new(
        graph: &'a Graph,
        layout: Layout,
        classes: Vec<Class>,
        observation: &'a Observation,
        pictures: &'a [Vec<u8>],
        (trial, truth): (Vec<Vec<u8>>, Vec<Vec<f32>>),
        options: Options,
    ) -> Result<Self, QuantizeError> {
        let plan = Plan::first(classes.len(), &layout, options);
        let factors = vec![None; graph.nodes.len()];
        let nearest = Nearest::default();
        let draft = draft(graph, &layout, &classes, observation, &plan, &factors, None, &nearest);
        let network = draft.network()?;
        let macs = network.macs().max(1);
        let n = trial.len().min(affordable(macs, options.effort));
        let chosen = |i: usize| i * trial.len() / n;
        let truth: Vec<Vec<f32>> = (0..n).map(|i| truth[chosen(i)].clone()).collect();
        let trial: Vec<Vec<u8>> = (0..n).map(|i| trial[chosen(i)].clone()).collect();
        let distance = Distance::between(&truth, &logits(&network, &trial)?, graph.activation);
        let best = Candidate { plan, factors, draft, network, distance };
        Ok(Self {
            graph,
            layout,
            classes,
            observation,
            options,
            pictures,
            cost: macs * n as u64,
            rounder: None,
            nearest,
            budget: options.effort.budget(),
            trial,
            truth,
            activation: graph.activation,
            best,
            changed_later: false,
            decisions: Vec::new(),
        })
    }

    fn error(&self, network: &Network) -> Result<Distance, QuantizeError> {
        Ok(Distance::between(&self.truth, &logits(network, &self.trial)?, self.activation))
    }

    /// Tries a plan; keeps it if the logits carry less noise.
    fn try_plan(&mut self, plan: Plan) -> Result<bool, QuantizeError> {
        if plan == self.best.plan {
            return Ok(false);
        }
        self.budget = self.budget.saturating_sub(self.cost);
        let factors = factors(self.graph, &self.classes, &plan.rules, self.observation);
        let draft = draft(
            self.graph,
            &self.layout,
            &self.classes,
            self.observation,
            &plan,
            &factors,
            self.rounder.as_ref(),
            &self.nearest,
        );
        let network = draft.network()?;
        let distance = self.error(&network)?;
        let better = distance.sqnr > self.best.distance.sqnr;
        if better {
            self.best = Candidate { plan, factors, draft, network, distance };
        }
        Ok(better)
    }

    /// Tries the best plan again, after something else has changed.
    fn retry(&mut self) -> Result<(), QuantizeError> {
        let plan = self.best.plan.clone();
        self.best.plan.stretch.clear();
        self.try_plan(plan).map(drop)
    }

    fn affordable(&self) -> bool {
        self.budget >= self.cost
    }

    fn run(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let affordable = rounding::work(self.graph, &self.layout) * RULES.len() as u64 <= self.budget / 10;
        if self.options.rounding && self.options.effort != Effort::Low && affordable {
            let before = self.best.distance.sqnr;
            progress.stage("rounding", self.pictures.len());
            let care = self.options.effort.care();
            self.rounder =
                Some(Rounder::new(self.graph, &self.layout, self.pictures, care, &|| progress.tick())?);
            self.best.distance.sqnr = f64::NEG_INFINITY;
            self.retry()?;
            self.decide("rounding by inputs", before, "every layer".into());
        }
        if self.options.effort != Effort::Low {
            self.equalize(progress)?;
            if self.options.method == Method::Auto {
                self.ranges(progress)?;
                self.equalize(progress)?;
            }
        }
        if self.options.rounding && self.options.effort != Effort::Low {
            progress.stage("rounding", 1);
            self.rounding()?;
            progress.tick();
        }
        if self.options.bias {
            self.bias(progress)?;
        }
        Ok(())
    }

    /// Whether the best network is what its plan gives with every layer rounded by its inputs, and no
    /// later pass has changed it.
    fn follows_from_plan(&self) -> bool {
        self.rounder.is_some() && !self.changed_later
    }

    /// The same decisions, with ranges, equalization and rounding measured on all pictures: what was left
    /// out to decide on has served its purpose.
    fn refit(
        &mut self,
        observation: &Observation,
        pictures: &[Vec<u8>],
        progress: &dyn Progress,
    ) -> Result<(), QuantizeError> {
        let before = self.best.distance.sqnr;
        progress.stage("rounding on all", pictures.len());
        let care = self.options.effort.care();
        let rounder = Rounder::new(self.graph, &self.layout, pictures, care, &|| progress.tick())?;
        let plan = self.best.plan.clone();
        let factors = factors(self.graph, &self.classes, &plan.rules, observation);
        let draft = draft(
            self.graph,
            &self.layout,
            &self.classes,
            observation,
            &plan,
            &factors,
            Some(&rounder),
            &Nearest::default(),
        );
        let network = draft.network()?;
        let distance = self.error(&network)?;
        self.best = Candidate { plan, factors, draft, network, distance };
        let note = format!("the same decisions on all {} pictures", pictures.len());
        self.decisions.push(Decision {
            pass: "measuring again".into(),
            before,
            after: distance.sqnr,
            kept: true,
            note,
        });
        Ok(())
    }

    /// The best network with residuals and affine maps as steps of their own.
    fn for_npu(&mut self, pictures: &[Vec<u8>], progress: &dyn Progress) -> Result<Network, QuantizeError> {
        progress.stage("rounding as an NPU", 2);
        let network = &self.best.network;
        let parts = apart(network, &Ranges::measure(network, &self.afford_pictures_of(pictures, 256))?);
        progress.tick();
        let before = self.error(&parts)?.sqnr;
        let trials = self.options.effort.budget() / 2 / self.cost.max(1);
        let quality = |n: &Network| Ok(self.error(n)?.sqnr);
        let mut tuned = tune(parts, network.tensors.len(), trials, &quality)?;
        // Other scales have other multiples.
        settle(&mut tuned);
        progress.tick();
        let after = self.error(&tuned)?.sqnr;
        let fused = self.best.distance.sqnr;
        let note = format!(
            "{} tensors; rounded once, it is {fused:.2} dB",
            tuned.tensors.len() - network.tensors.len()
        );
        self.decisions.push(Decision { pass: "rounding as an NPU".into(), before, after, kept: true, note });
        Ok(tuned)
    }

    fn decide(&mut self, pass: &str, before: f64, note: String) {
        self.decisions.push(Decision::new(pass, before, self.best.distance.sqnr, note));
    }

    fn equalize(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        if self.classes.is_empty() {
            return Ok(());
        }
        let before = self.best.distance.sqnr;
        progress.stage("equalization", RULES.len() - 1 + self.classes.len());
        for rule in 1..RULES.len() {
            let rules = vec![rule; self.classes.len()];
            self.try_plan(Plan { rules, ..self.best.plan.clone() })?;
            progress.tick();
        }
        for class in 0..self.classes.len() {
            for rule in 0..RULES.len() {
                if self.budget < self.cost * 4 {
                    break;
                }
                let mut plan = self.best.plan.clone();
                plan.rules[class] = rule;
                self.try_plan(plan)?;
            }
            progress.tick();
        }
        let used = self.best.plan.rules.iter().filter(|&&r| r > 0).count();
        let note = format!("{used} of {} classes of tensors scaled per channel", self.classes.len());
        self.decide("equalization", before, note);
        Ok(())
    }

    fn ranges(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let before = self.best.distance.sqnr;
        let slots: Vec<SlotId> = self.layout.scaled().collect();
        progress.stage("ranges", slots.len() + 1);
        for method in Method::ALL {
            let methods = vec![method; self.layout.slots.len()];
            self.try_plan(Plan { methods, ..self.best.plan.clone() })?;
        }
        for stretch in STRETCHES {
            let stretch = vec![stretch; self.layout.slots.len()];
            self.try_plan(Plan { stretch, ..self.best.plan.clone() })?;
        }
        progress.tick();
        for &slot in &slots {
            for method in Method::ALL {
                if self.affordable() {
                    let mut plan = self.best.plan.clone();
                    plan.methods[slot] = method;
                    self.try_plan(plan)?;
                }
            }
            for stretch in STRETCHES {
                if self.affordable() {
                    let mut plan = self.best.plan.clone();
                    plan.stretch[slot] *= stretch;
                    self.try_plan(plan)?;
                }
            }
            progress.tick();
        }
        self.decide("ranges", before, format!("{} tensors", slots.len()));
        Ok(())
    }

    fn rounding(&mut self) -> Result<(), QuantizeError> {
        let before = self.best.distance.sqnr;
        let mut next = self.best.clone();
        let take = self.afford_pictures(512);
        let layers = rounding::round_with_inputs(
            &mut next.draft,
            &self.best.network,
            &take,
            self.options.effort.care(),
        )?;
        if layers > 0 {
            next.network = next.draft.network()?;
            next.distance = self.error(&next.network)?;
            if next.distance.sqnr > before {
                self.best = next;
                self.changed_later = true;
            }
        }
        self.decide("rounding by inputs", before, format!("{layers} layers"));
        Ok(())
    }

    /// Evenly spread pictures, as many as a twelfth of the whole effort can take.
    fn afford_pictures(&self, most: usize) -> Vec<Vec<u8>> {
        self.afford_pictures_of(self.pictures, most)
    }

    fn afford_pictures_of(&self, pictures: &[Vec<u8>], most: usize) -> Vec<Vec<u8>> {
        let macs = self.best.network.macs().max(1);
        let affordable = (Effort::Normal.budget() / 12 / macs) as usize;
        let n = pictures.len().min(most).min(affordable.max(16));
        (0..n).map(|i| pictures[i * pictures.len() / n].clone()).collect()
    }

    fn bias(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        const STEPS: usize = 4;
        let before = self.best.distance.sqnr;
        let pictures = self.afford_pictures(1024);
        let mut current = self.best.clone();
        let observation = self.observation;
        let factors = self.best.factors.clone();
        let means = move |node: NodeId| {
            let mut means = observation.channels(node)?.means();
            if let Some(factors) = &factors[node] {
                means.iter_mut().zip(factors).for_each(|(m, f)| *m *= f64::from(*f));
            }
            Some(means)
        };
        progress.stage("bias correction", STEPS);
        for _ in 0..STEPS {
            bias::correct(&mut current.draft, &current.network, &pictures, 0.8, &means)?;
            current.network = current.draft.network()?;
            current.distance = self.error(&current.network)?;
            if current.distance.sqnr > self.best.distance.sqnr {
                self.best = current.clone();
                self.changed_later = true;
            }
            progress.tick();
        }
        self.decide("bias correction", before, format!("{} pictures", pictures.len()));
        Ok(())
    }
}

#[allow(clippy::too_many_arguments)]
fn draft(
    graph: &Graph,
    layout: &Layout,
    classes: &[Class],
    observation: &Observation,
    plan: &Plan,
    factors: &equalize::Factors,
    rounder: Option<&Rounder>,
    nearest: &Nearest,
) -> Draft {
    let source = graph;
    let mut graph = equalize::apply(source, factors);
    let rule_of = |node: NodeId| {
        classes.iter().position(|c| c.nodes.binary_search(&node).is_ok()).map_or(0, |c| plan.rules[c])
    };
    let ranges = layout
        .slots
        .iter()
        .enumerate()
        .map(|(id, slot)| {
            let range = plan.methods[id].range(observation.histogram(slot.node, rule_of(slot.node)));
            Range { lo: range.lo * plan.stretch[id], hi: range.hi * plan.stretch[id] }
        })
        .collect();
    let mut packed: Vec<Option<Packed>> = vec![None; graph.nodes.len()];
    let rounded = in_lanes(layout.layers.len(), |i| {
        let Layer::Conv { conv, x, .. } = layout.layers[i] else { return None };
        let Op::Conv(c) = &source.nodes[conv].op else { return None };
        let (node, rule) = (layout.slots[x].node, rule_of(layout.slots[x].node));
        let by_inputs = rounder.and_then(|r| r.rounded(c, conv, rule, factors[node].as_deref()));
        Some(by_inputs.unwrap_or_else(|| Rounded {
            packed: nearest.packed(conv, rule, || {
                pack(&graph, conv, &input_squares(&graph, layout, observation, factors, x), factors)
            }),
            shift: vec![0.0; c.bias.len()],
        }))
    });
    for (layer, rounded) in layout.layers.iter().zip(rounded) {
        let (Layer::Conv { conv, .. }, Some(Rounded { packed: mut whole, shift })) = (*layer, rounded) else {
            continue;
        };
        let Op::Conv(c) = &mut graph.nodes[conv].op else { continue };
        for o in 0..c.bias.len() {
            let factor = factors[conv].as_ref().map_or(1.0, |f| f[o]);
            whole.scale[o] *= factor;
            c.bias[o] += (shift[o] * f64::from(factor)) as f32;
        }
        let Op::Conv(c) = &graph.nodes[conv].op else { continue };
        let filter = c.weights.len() / c.bias.len().max(1);
        for (o, b) in effective_bias(&graph, conv, c).into_iter().enumerate() {
            // A channel without weights: any scale that holds the bias.
            if b != 0.0 && whole.weights[o * filter..(o + 1) * filter].iter().all(|&w| w == 0) {
                whole.scale[o] = (b.abs() / f64::from(1 << 20)) as f32;
            }
        }
        packed[conv] = Some(whole);
    }
    Draft { graph, layout: layout.clone(), ranges, packed }
}

/// A convolution's weights rounded to their nearest levels, with scales as they are before the layer's own
/// output is equalized: those factors scale a whole channel, which changes no integer.
fn pack(graph: &Graph, conv: NodeId, importance: &[f32], factors: &equalize::Factors) -> Packed {
    let Op::Conv(c) = &graph.nodes[conv].op else { unreachable!("called for convolutions") };
    let filter = c.weights.len() / c.bias.len().max(1);
    let per_group = importance.len() / c.groups;
    let group_out = c.bias.len() / c.groups;
    let (mut q, mut scales) = (Vec::with_capacity(c.weights.len()), Vec::with_capacity(c.bias.len()));
    for (o, weights) in c.weights.chunks_exact(filter).enumerate() {
        let first = o / group_out * per_group;
        let per_weight: Vec<f32> = (0..filter).map(|k| importance[first + k % per_group]).collect();
        // Weights of a model that was quantized before have a scale each already.
        let grid = if graph.given.is_empty() { None } else { weights::grid(weights) };
        let (ints, scale) = match grid {
            Some(scale) => (weights::with_scale(weights, scale), scale),
            None => weights::channel(weights, &per_weight),
        };
        q.extend(ints);
        scales.push(scale / factors[conv].as_ref().map_or(1.0, |f| f[o]));
    }
    Packed { weights: q, scale: scales }
}

/// What [`pack`] made, by convolution and its input's rule: most trials change neither.
#[derive(Default)]
struct Nearest(Mutex<HashMap<(NodeId, usize), Packed>>);

impl Nearest {
    fn packed(&self, conv: NodeId, rule: usize, pack: impl FnOnce() -> Packed) -> Packed {
        let known = |m: &Self| m.0.lock().ok().and_then(|m| m.get(&(conv, rule)).cloned());
        known(self).unwrap_or_else(|| {
            let packed = pack();
            if let Ok(mut map) = self.0.lock() {
                map.insert((conv, rule), packed.clone());
            }
            packed
        })
    }
}

/// The mean square of each channel of a layer's input, as int8 sees it.
fn input_squares(
    graph: &Graph,
    layout: &Layout,
    observation: &Observation,
    factors: &equalize::Factors,
    slot: SlotId,
) -> Vec<f32> {
    let node = layout.slots[slot].node;
    let channels = layout.slots[slot].shape.c;
    let Some(seen) = observation.channels(node) else { return vec![1.0; channels] };
    let mut squares = seen.mean_squares();
    if slot == 0 {
        let means = seen.means();
        for (c, zero) in pixel_zero(graph).into_iter().enumerate() {
            let zero = f32::from(zero) + 128.0;
            squares[c] += zero * zero - 2.0 * zero * means[c] as f32;
        }
    }
    if let Some(factors) = &factors[node] {
        squares.iter_mut().zip(factors).for_each(|(s, f)| *s *= f * f);
    }
    let floor = squares.iter().copied().fold(0.0, f32::max).max(1e-12) * 1e-6;
    squares.iter().map(|s| s.max(floor)).collect()
}
