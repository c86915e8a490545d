//! Runs a compiled network on images.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldnet_archive::{Activation, Kind, Network, Step};
use foldnet_kernels::{KernelSet, Shape};
use foldnet_plan::{Plan, PlanError, Pool};

use crate::aligned::Aligned;
use crate::compile::{CompileError, compile};
use crate::features::{Features, Quantized};
use crate::pool::{PoolError, Threads};

/// The reason why a session cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The network cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The plan is not valid, because of a bug or a damaged cache.
    #[error("the compiled plan is refused: {0}")]
    Plan(#[from] PlanError),
    /// The threads cannot be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// Describes one step of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInfo {
    /// The layer's name in the source model.
    pub name: String,
    /// The operator.
    pub kind: Kind,
    /// The number of multiply-accumulates; 0 for steps that are not convolutions.
    pub macs: u64,
    /// The shape of the (first) output.
    pub output: Shape,
}

/// The information about a network that its plan does not contain.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkInfo {
    /// The steps, in order.
    pub steps: Vec<StepInfo>,
    /// The network's last function.
    pub activation: Activation,
    /// The real values of the integers that the last layer reads, see [`Session::features`].
    pub features: Option<Quantized>,
}

impl NetworkInfo {
    /// Collects this information about a network.
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
    /// Compiles the network for a kernel set and prepares to run it on this many threads (0: one per core).
    pub fn new(network: &Network, set: &'static dyn KernelSet, threads: usize) -> Result<Self, SessionError> {
        Self::from_plan(compile(network, set)?, set, threads, NetworkInfo::of(network))
    }

    /// Like [`Session::new`], on the threads of other sessions. Sessions that share threads take turns.
    pub fn with_pool(
        network: &Network,
        set: &'static dyn KernelSet,
        pool: Arc<Threads>,
    ) -> Result<Self, SessionError> {
        Self::assemble(compile(network, set)?, set, || Ok(pool), NetworkInfo::of(network))
    }

    /// Like [`Session::new`], from a compiled plan and the information that it does not contain. The plan is
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

    /// Creates another session with one thread, its own memory and the same packed weights; see
    /// [`Streams`](crate::streams::Streams).
    pub fn stream(&self) -> Result<Self, PoolError> {
        Ok(Self::of(Arc::clone(&self.plan), Arc::new(Threads::new(1)?), self.info.clone()))
    }

    /// Classifies one image: u8 pixels, HWC, as many as the network's input has. Returns the logits.
    ///
    /// # Panics
    /// Panics if the number of pixels is wrong.
    pub fn run(&mut self, pixels: &[u8]) -> &[f32] {
        self.plan.run(&*self.pool, &mut self.memory, pixels, |_, _| {})
    }

    /// Like [`Session::run`], but applies the network's last function (softmax or sigmoid).
    pub fn classify(&mut self, pixels: &[u8]) -> &[f32] {
        let mut probabilities = std::mem::take(&mut self.probabilities);
        probabilities.copy_from_slice(self.run(pixels));
        activate(self.info.activation, &mut probabilities);
        self.probabilities = probabilities;
        &self.probabilities
    }

    /// Like [`Session::run`], but returns the values that the last layer reads: the network's description of the
    /// image, by which images can be compared. They are in the order of [`Session::features_shape`]: row by row,
    /// the channels of each pixel side by side. Networks that end in a mean have one pixel. The values are those
    /// of the int8 network: the converter may have scaled each channel by a factor of its own, which is the same
    /// for all images.
    ///
    /// Returns `None` if the network does not end in a dense layer or convolution.
    ///
    /// # Panics
    /// Panics if the number of pixels is wrong.
    pub fn features(&mut self, pixels: &[u8]) -> Option<&[f32]> {
        let Self { plan, memory, pool, features, .. } = self;
        Some(features.as_mut()?.run(plan, &**pool, memory, pixels))
    }

    /// Returns the logits of [`Session::run`] and the integers from which [`Session::features`] are computed:
    /// their value is `(q − zero) · scale`, see [`NetworkInfo::features`]. Returns `None` if there are no
    /// features.
    ///
    /// # Panics
    /// Panics if the number of pixels is wrong.
    pub fn run_with_features(&mut self, pixels: &[u8]) -> Option<(&[f32], &[i8])> {
        let Self { plan, memory, pool, features, .. } = self;
        Some(features.as_mut()?.run_integers(plan, &**pool, memory, pixels))
    }

    /// Returns the shape of [`Session::features`], if there are any.
    pub fn features_shape(&self) -> Option<Shape> {
        self.features.as_ref().map(Features::shape)
    }

    /// Like [`Session::run`]; writes each step's duration to `times`.
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

    /// Like [`Session::run`]; after each step, `see` receives the step's number and its int8 outputs, NHWC, in the
    /// order of [`foldnet_archive::Step::outputs`]. There are no outputs for the step that computes the logits.
    pub fn run_traced(&mut self, pixels: &[u8], mut see: impl FnMut(usize, Vec<Vec<i8>>)) -> &[f32] {
        let plan = &self.plan;
        plan.run(&*self.pool, &mut self.memory, pixels, |step, memory| {
            let outputs = plan.record(step).outline().writes.into_iter().filter(|w| w.int8);
            let read = outputs.map(|w| plan.set().read_tensor(w.shape, &memory[w.at as usize..]));
            see(step, read.collect());
        })
    }

    /// Like [`Session::run`]; after each step, `see` receives the step's number, the plan and its memory.
    pub(crate) fn run_observed(
        &mut self,
        pixels: &[u8],
        mut see: impl FnMut(usize, &Plan<'_>, &[u8]),
    ) -> &[f32] {
        let plan = &self.plan;
        plan.run(&*self.pool, &mut self.memory, pixels, |step, memory| see(step, plan, memory))
    }

    /// Returns the shape of the images.
    pub fn input(&self) -> Shape {
        self.plan.header().input
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.probabilities.len()
    }

    /// Returns the network's last function.
    pub fn activation(&self) -> Activation {
        self.info.activation
    }

    /// Returns the number of multiply-accumulates per inference.
    pub fn macs(&self) -> u64 {
        self.info.steps.iter().map(|s| s.macs).sum()
    }

    /// Returns the kernel set in use.
    pub fn set(&self) -> &'static dyn KernelSet {
        self.plan.set()
    }

    /// Returns the number of threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Returns the information about the network that its plan does not contain.
    pub fn info(&self) -> &NetworkInfo {
        &self.info
    }

    /// Returns the steps, in order.
    pub fn steps(&self) -> &[StepInfo] {
        &self.info.steps
    }

    /// Returns the compiled plan.
    pub fn plan(&self) -> &Plan<'static> {
        &self.plan
    }

    /// Returns the compiled plan's bytes.
    pub fn plan_bytes(&self) -> &[u8] {
        self.plan.bytes()
    }

    /// Returns the size of the activations in bytes.
    pub fn arena_bytes(&self) -> usize {
        self.plan.memory_bytes(0)
    }

    /// Returns the size of the scratch memory of all threads in bytes.
    pub fn scratch_bytes(&self) -> usize {
        self.memory.len() - self.arena_bytes()
    }

    /// Returns the size of the plan in bytes; most of it is packed weights.
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
