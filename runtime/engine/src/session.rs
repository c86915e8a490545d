//! A network, ready to classify.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldnet_archive::{Activation, Kind, Network, Step};
use foldnet_kernels::{KernelSet, Shape};
use foldnet_plan::{Plan, PlanError, Pool};

use crate::aligned::Aligned;
use crate::compile::{CompileError, compile};
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

/// A compiled network with its memory and threads. After [`Session::new`] nothing allocates.
pub struct Session {
    plan: Plan<'static>,
    memory: Aligned,
    pool: Arc<Threads>,
    steps: Vec<StepInfo>,
    activation: Activation,
    probabilities: Vec<f32>,
}

impl Session {
    /// Compiles the network for a kernel set and prepares to run it on this many threads (0: one per
    /// core).
    pub fn new(network: &Network, set: &'static dyn KernelSet, threads: usize) -> Result<Self, SessionError> {
        let steps = network.steps.iter().map(|s| info(network, s)).collect();
        Self::from_plan(compile(network, set)?, set, threads, steps, network.activation)
    }

    /// As [`Session::new`], on the threads of other sessions. Sessions that share threads take turns.
    pub fn with_pool(
        network: &Network,
        set: &'static dyn KernelSet,
        pool: Arc<Threads>,
    ) -> Result<Self, SessionError> {
        let steps = network.steps.iter().map(|s| info(network, s)).collect();
        Self::assemble(compile(network, set)?, set, || Ok(pool), steps, network.activation)
    }

    /// As [`Session::new`], from a compiled plan and what is known of its steps. The plan is validated.
    pub fn from_plan(
        plan: Aligned,
        set: &'static dyn KernelSet,
        threads: usize,
        steps: Vec<StepInfo>,
        activation: Activation,
    ) -> Result<Self, SessionError> {
        Self::assemble(plan, set, || Threads::new(threads).map(Arc::new), steps, activation)
    }

    fn assemble(
        plan: Aligned,
        set: &'static dyn KernelSet,
        pool: impl FnOnce() -> Result<Arc<Threads>, PoolError>,
        steps: Vec<StepInfo>,
        activation: Activation,
    ) -> Result<Self, SessionError> {
        let plan = Plan::own(plan, set)?;
        if plan.header().steps as usize != steps.len() {
            return Err(PlanError::Length.into());
        }
        let probabilities = vec![0.0; plan.header().classes as usize];
        let pool = pool()?;
        let memory = Aligned::zeroed(plan.memory_bytes(pool.threads()));
        Ok(Self { plan, memory, pool, steps, activation, probabilities })
    }

    /// Classifies one picture: u8 pixels, HWC, as many as the network's input has. Returns the
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
        activate(self.activation, &mut probabilities);
        self.probabilities = probabilities;
        &self.probabilities
    }

    /// As [`Session::run`]; `times` receives each step's duration.
    pub fn run_timed(&mut self, pixels: &[u8], times: &mut Vec<Duration>) -> &[f32] {
        times.clear();
        times.reserve(self.steps.len());
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

    /// Shape of the pictures.
    pub fn input(&self) -> Shape {
        self.plan.header().input
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.probabilities.len()
    }

    /// The network's last function.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs).sum()
    }

    /// The kernel set in use.
    pub fn set(&self) -> &'static dyn KernelSet {
        self.plan.set()
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[StepInfo] {
        &self.steps
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
