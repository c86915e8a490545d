//! A network, ready to classify.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldnet_archive::{Activation, Kind, Network, Step};
use foldnet_kernels::{KernelSet, Shape};
use foldnet_plan::{Plan, PlanError, Pool};

use crate::aligned::Aligned;
use crate::compile::{CompileError, compile};
use crate::features::{Features, Quantized};
use crate::pool::{PoolError, Threads};

/// Why a session cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The network cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The plan is refused: a fault of ours, or a damaged cache.
    #[error("the compiled plan is refused: {0}")]
    Plan(#[from] PlanError),
    /// The threads cannot be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// What one step of a session is.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInfo {
    /// The layer's name in the source model.
    pub name: String,
    /// The operator.
    pub kind: Kind,
    /// Multiply-accumulates; 0 for what is not a convolution.
    pub macs: u64,
    /// Shape of the (first) output.
    pub output: Shape,
}

/// What a plan does not hold of its network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkInfo {
    /// The steps, in order.
    pub steps: Vec<StepInfo>,
    /// The network's last function.
    pub activation: Activation,
    /// What the integers that the last layer reads stand for, see [`Session::features`].
    pub features: Option<Quantized>,
}

impl NetworkInfo {
    /// That of this network.
    pub fn of(network: &Network) -> Self {
        Self {
            steps: network.steps.iter().map(|step| info(network, step)).collect(),
            activation: network.activation,
            features: Quantized::features(network),
        }
    }
}

/// A compiled network with its memory and threads. After [`Session::new`] nothing allocates.
pub struct Session {
    plan: Arc<Plan<'static>>,
    memory: Aligned,
    pool: Arc<Threads>,
    info: NetworkInfo,
    probabilities: Vec<f32>,
    features: Option<Features>,
}

impl Session {
    /// Compiles the network for a kernel set and prepares to run it on this many threads (0: one per
    /// core).
    pub fn new(network: &Network, set: &'static dyn KernelSet, threads: usize) -> Result<Self, SessionError> {
        Self::from_plan(compile(network, set)?, set, threads, NetworkInfo::of(network))
    }

    /// As [`Session::new`], on the threads of other sessions. Sessions that share threads take turns.
    pub fn with_pool(
        network: &Network,
        set: &'static dyn KernelSet,
        pool: Arc<Threads>,
    ) -> Result<Self, SessionError> {
        Self::assemble(compile(network, set)?, set, || Ok(pool), NetworkInfo::of(network))
    }

    /// As [`Session::new`], from a compiled plan and what it does not hold of its network. The plan is
    /// validated.
    pub fn from_plan(
        plan: Aligned,
        set: &'static dyn KernelSet,
        threads: usize,
        info: NetworkInfo,
    ) -> Result<Self, SessionError> {
        Self::assemble(plan, set, || Threads::new(threads).map(Arc::new), info)
    }

    fn assemble(
        plan: Aligned,
        set: &'static dyn KernelSet,
        pool: impl FnOnce() -> Result<Arc<Threads>, PoolError>,
        info: NetworkInfo,
    ) -> Result<Self, SessionError> {
        let plan = Plan::own(plan, set)?;
        if plan.header().steps as usize != info.steps.len() {
            return Err(PlanError::Length.into());
        }
        Ok(Self::of(Arc::new(plan), pool()?, info))
    }

    fn of(plan: Arc<Plan<'static>>, pool: Arc<Threads>, info: NetworkInfo) -> Self {
        let probabilities = vec![0.0; plan.header().classes as usize];
        let memory = Aligned::zeroed(plan.memory_bytes(pool.threads()));
        let features = info.features.and_then(|quantized| Features::of(&plan, quantized));
        Self { plan, memory, pool, info, probabilities, features }
    }

    /// Another session of one thread with memory of its own and the same packed weights; see
    /// [`Streams`](crate::streams::Streams).
    pub fn stream(&self) -> Result<Self, PoolError> {
        Ok(Self::of(Arc::clone(&self.plan), Arc::new(Threads::new(1)?), self.info.clone()))
    }

    /// Classifies one image: u8 pixels, HWC, as many as the network's input has. Returns the
    /// logits.
    ///
    /// # Panics
    /// When the number of pixels is wrong.
    pub fn run(&mut self, pixels: &[u8]) -> &[f32] {
        self.plan.run(&*self.pool, &mut self.memory, pixels, |_, _| {})
    }

    /// As [`Session::run`], with the network's last function (softmax or sigmoid) applied.
    pub fn classify(&mut self, pixels: &[u8]) -> &[f32] {
        let mut probabilities = std::mem::take(&mut self.probabilities);
        probabilities.copy_from_slice(self.run(pixels));
        activate(self.info.activation, &mut probabilities);
        self.probabilities = probabilities;
        &self.probabilities
    }

    /// As [`Session::run`], but returns the numbers that the last layer reads: the network's description of the
    /// image, by which images can be compared. Row by row, the channels of a pixel side by side, as
    /// [`Session::features_shape`] says; one pixel in networks that end in a mean. They are the int8 network's
    /// numbers: the converter may have scaled channels, each by a factor of its own that is the same for all images.
    ///
    /// `None` if the network does not end in a dense layer or convolution.
    ///
    /// # Panics
    /// When the number of pixels is wrong.
    pub fn features(&mut self, pixels: &[u8]) -> Option<&[f32]> {
        let Self { plan, memory, pool, features, .. } = self;
        Some(features.as_mut()?.run(plan, &**pool, memory, pixels))
    }

    /// The logits of [`Session::run`], and the integers that [`Session::features`] are made of: their value is
    /// `(q − zero) · scale`, see [`NetworkInfo::features`]. `None` if there are no features.
    ///
    /// # Panics
    /// When the number of pixels is wrong.
    pub fn run_with_features(&mut self, pixels: &[u8]) -> Option<(&[f32], &[i8])> {
        let Self { plan, memory, pool, features, .. } = self;
        Some(features.as_mut()?.run_integers(plan, &**pool, memory, pixels))
    }

    /// The shape of [`Session::features`], if there are any.
    pub fn features_shape(&self) -> Option<Shape> {
        self.features.as_ref().map(Features::shape)
    }

    /// As [`Session::run`]; `times` receives each step's duration.
    pub fn run_timed(&mut self, pixels: &[u8], times: &mut Vec<Duration>) -> &[f32] {
        times.clear();
        times.reserve(self.info.steps.len());
        let mut start = Instant::now();
        self.plan.run(&*self.pool, &mut self.memory, pixels, |_, _| {
            let now = Instant::now();
            times.push(now - start);
            start = now;
        })
    }

    /// As [`Session::run`]; after each step `see` gets its number and its int8 outputs, NHWC, in the
    /// order of [`foldnet_archive::Step::outputs`] (none for the step that makes the logits).
    pub fn run_traced(&mut self, pixels: &[u8], mut see: impl FnMut(usize, Vec<Vec<i8>>)) -> &[f32] {
        let plan = &self.plan;
        plan.run(&*self.pool, &mut self.memory, pixels, |step, memory| {
            let outputs = plan.record(step).outline().writes.into_iter().filter(|w| w.int8);
            let read = outputs.map(|w| plan.set().read_tensor(w.shape, &memory[w.at as usize..]));
            see(step, read.collect());
        })
    }

    /// As [`Session::run`]; after each step `see` gets its number, the plan and its memory.
    pub(crate) fn run_observed(
        &mut self,
        pixels: &[u8],
        mut see: impl FnMut(usize, &Plan<'_>, &[u8]),
    ) -> &[f32] {
        let plan = &self.plan;
        plan.run(&*self.pool, &mut self.memory, pixels, |step, memory| see(step, plan, memory))
    }

    /// Shape of the images.
    pub fn input(&self) -> Shape {
        self.plan.header().input
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.probabilities.len()
    }

    /// The network's last function.
    pub fn activation(&self) -> Activation {
        self.info.activation
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.info.steps.iter().map(|s| s.macs).sum()
    }

    /// The kernel set in use.
    pub fn set(&self) -> &'static dyn KernelSet {
        self.plan.set()
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// What is known of the network besides its plan.
    pub fn info(&self) -> &NetworkInfo {
        &self.info
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[StepInfo] {
        &self.info.steps
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Plan<'static> {
        &self.plan
    }

    /// The compiled plan's bytes.
    pub fn plan_bytes(&self) -> &[u8] {
        self.plan.bytes()
    }

    /// Bytes of activations.
    pub fn arena_bytes(&self) -> usize {
        self.plan.memory_bytes(0)
    }

    /// Bytes of scratch over all threads.
    pub fn scratch_bytes(&self) -> usize {
        self.memory.len() - self.arena_bytes()
    }

    /// Bytes of the plan: packed weights, mostly.
    pub fn weight_bytes(&self) -> usize {
        self.plan.bytes().len()
    }
}

fn info(network: &Network, step: &Step) -> StepInfo {
    let output = step.outputs().first().map_or(Shape::default(), |&t| network.tensors[t].shape);
    StepInfo { name: step.name().into(), kind: step.operator(), macs: step.macs(network), output }
}

/// Applies the network's last function in place, in f32.
pub fn activate(activation: Activation, values: &mut [f32]) {
    activation.apply(values);
}
