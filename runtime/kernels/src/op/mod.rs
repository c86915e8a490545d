//! The operators, each defined completely in one file.
//!
//! An operator's file contains
//!
//! - its arithmetic, in naive loops: the definition against which every kernel set is tested;
//! - its record in a plan ([`Operation`]): fields, validation, and how it runs on a kernel set;
//! - with the feature `network`, its step in a network ([`Operator`]): the tensors that it reads and writes,
//!   validation, compilation to a record, and its statements in `graph.nnef`;
//! - with the feature `testing`, how a test interprets it.
//!
//! The table at the end of this file lists the operators. [`Record`], [`Step`] and everything that applies to all
//! steps (encoding, lifetimes, tracing, the plan cache, …) are generated from it. To add an operator, write its
//! file and add a line to the table.

#[cfg(feature = "network")]
use alloc::boxed::Box;
#[cfg(feature = "alloc")]
use alloc::string::String;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::Range;

#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Statement, StepError, TensorId,
};
#[cfg(feature = "alloc")]
use crate::record::Blob;
use crate::record::{Checker, Fault, Field, Machine};
use crate::set::KernelSet;
#[cfg(feature = "alloc")]
use crate::shape::Shape;

/// An operator's record in a plan.
pub trait Operation: Field {
    /// The first word of the record.
    const CODE: u32;

    /// Checks everything on which running relies.
    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault>;

    /// Returns the number of independent tasks of the step.
    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        1
    }

    /// Returns whether one thread runs all tasks, because a fork and join costs more.
    fn alone(&self) -> bool {
        false
    }

    /// Runs some of the tasks.
    ///
    /// # Safety
    /// [`Operation::check`] accepted the record for the plan that `on` runs. No task is run by two threads, and no
    /// two threads have the same number at the same time.
    unsafe fn run(&self, on: &Machine<'_>, thread: usize, tasks: Range<usize>);

    /// Returns the packed constants.
    #[cfg(feature = "alloc")]
    fn blob(&mut self) -> Option<&mut Blob> {
        None
    }

    /// Describes the operator and its tensors, for people and for traces.
    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline;
}

/// A description of a record.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// The operator and its options, for example `conv 3×3 /2 +skip`.
    pub what: String,
    /// The shapes, for example `8×8×16 → 4×4×32`.
    pub shapes: String,
    /// The offsets of the tensors read; without the pixels.
    pub reads: Vec<u32>,
    /// The tensors written.
    pub writes: Vec<Write>,
}

/// A tensor that a record writes.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Write {
    /// Its offset in the arena.
    pub at: u32,
    /// Its shape.
    pub shape: Shape,
    /// False for logits, which are f32.
    pub int8: bool,
}

#[cfg(feature = "alloc")]
impl Outline {
    /// Describes a record that reads some tensors and writes one int8 tensor.
    pub(crate) fn simple(what: &str, shapes: String, reads: Vec<u32>, at: u32, shape: Shape) -> Self {
        Self { what: what.into(), shapes, reads, writes: Vec::from([Write { at, shape, int8: true }]) }
    }
}

/// Whether a step may write the logits.
#[cfg(feature = "network")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// The step writes only int8 tensors.
    Never,
    /// The step writes the logits or int8 tensors.
    Maybe,
    /// The step writes only the logits.
    Always,
}

/// An operator's step in a network.
#[cfg(feature = "network")]
pub trait Operator: Sized {
    /// The operator's record in a plan.
    type Record: Operation;
    /// The operator's name, one word.
    const WORD: &'static str;
    /// The oldest version of the archive format that has the operator.
    const FORMAT: u32 = crate::network::OLDEST_FORMAT;
    /// The definition of the operator's own fragment in `graph.nnef`, written only to archives that need it; empty
    /// if the common fragments suffice.
    const FRAGMENT: &'static str = "";
    /// Whether the operator can read the pixels.
    const READS_PIXELS: bool = false;
    /// Whether the operator can write the logits.
    const LOGITS: Logits = Logits::Never;

    /// Returns the layer's name in the source model.
    fn name(&self) -> &str;
    /// Returns the tensors read.
    fn inputs(&self) -> Vec<TensorId>;
    /// Returns the tensors written.
    fn outputs(&self) -> Vec<TensorId>;
    /// Returns all tensors, so that they can be renumbered.
    fn tensors(&mut self) -> Vec<&mut TensorId>;

    /// Returns the inputs whose buffer the first output may reuse, because kernels read each value before they
    /// overwrite it.
    fn replaceable(&self) -> Vec<TensorId> {
        Vec::new()
    }

    /// Returns the multiply-accumulates, padding included.
    fn macs(&self, _network: &Network) -> u64 {
        0
    }

    /// Returns the number of weights and other constants per channel.
    fn parameters(&self) -> usize {
        0
    }

    /// Checks shapes, lengths and ranges. All tensors exist.
    fn check(&self, network: &Network) -> Result<(), StepError>;

    /// Returns the record of the step; the network is valid.
    fn compile(&self, to: &mut Compiler<'_>) -> Self::Record;

    /// Writes step number `i` to `graph.nnef`.
    fn write(&self, i: usize, to: &mut GraphWriter<'_>);

    /// Reads the step from its statements: from the first that reads a tensor to the one that writes the result.
    /// Returns `None` if they belong to another operator.
    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError>;

    /// Runs the definition on plain tensors.
    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values);

    /// Returns a network that has the step, for operators that are not in [`crate::network::testing`].
    #[cfg(any(test, feature = "testing"))]
    fn example() -> Option<Network> {
        None
    }
}

/// Generates [`Record`], [`Step`] and [`Kind`] from the table of operators.
macro_rules! operators {
    ($($(#[$attr:meta])* $Name:ident = $module:ident: $Record:ident, $Step:ty;)+) => {
        $($(#[$attr])* pub mod $module;)+

        /// One step of a plan. Tensors are byte offsets in the arena.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Record {
            $(
                #[doc = concat!("See [`", stringify!($module), "`](mod@", stringify!($module), ").")]
                $(#[$attr])* $Name($module::$Record),
            )+
        }

        impl Record {
            /// Writes [`crate::record::RECORD`] bytes.
            pub fn write(&self, to: &mut [u8]) {
                to.fill(0);
                let mut to = crate::record::Writer::new(to, 0);
                match self {
                    $($(#[$attr])* Self::$Name(record) => {
                        to.u32(<$module::$Record as Operation>::CODE);
                        record.write(&mut to);
                    })+
                }
            }

            /// Reads a record; returns `None` if its kind or one of its choices is unknown. Numbers are not
            /// checked.
            pub fn read(from: &[u8]) -> Option<Self> {
                let mut from = crate::record::Reader::new(from, 0);
                let record = match from.u32() {
                    $($(#[$attr])* <$module::$Record as Operation>::CODE => Self::$Name(Field::read(&mut from)),)+
                    _ => return None,
                };
                (!from.refused()).then_some(record)
            }

            /// See [`Operation::check`].
            pub fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
                match self {
                    $($(#[$attr])* Self::$Name(record) => record.check(plan),)+
                }
            }

            /// See [`Operation::tasks`].
            pub fn tasks(&self, set: &dyn KernelSet) -> usize {
                match self {
                    $($(#[$attr])* Self::$Name(record) => record.tasks(set),)+
                }
            }

            /// See [`Operation::alone`].
            pub fn alone(&self) -> bool {
                match self {
                    $($(#[$attr])* Self::$Name(record) => record.alone(),)+
                }
            }

            /// See [`Operation::run`].
            ///
            /// # Safety
            /// See [`Operation::run`].
            pub unsafe fn run(&self, on: &Machine<'_>, thread: usize, tasks: Range<usize>) {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    match self {
                        $($(#[$attr])* Self::$Name(record) => record.run(on, thread, tasks),)+
                    }
                }
            }

            /// See [`Operation::blob`].
            #[cfg(feature = "alloc")]
            pub fn blob(&mut self) -> Option<&mut Blob> {
                match self {
                    $($(#[$attr])* Self::$Name(record) => record.blob(),)+
                }
            }

            /// See [`Operation::outline`].
            #[cfg(feature = "alloc")]
            pub fn outline(&self) -> Outline {
                match self {
                    $($(#[$attr])* Self::$Name(record) => record.outline(),)+
                }
            }
        }

        /// One fused step of a network.
        #[cfg(feature = "network")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum Step {
            $(
                #[doc = concat!("See [`", stringify!($module), "`](mod@", stringify!($module), ").")]
                $Name($Step),
            )+
        }

        /// The operator of a step.
        #[cfg(feature = "network")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!("See [`", stringify!($module), "`](mod@", stringify!($module), ").")]
                $Name,
            )+
        }

        #[cfg(feature = "network")]
        impl Kind {
            /// All operators.
            pub const ALL: &'static [Self] = &[$(Self::$Name),+];

            /// Returns the operator's name, one word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::WORD,)+
                }
            }

            /// Returns the oldest version of the archive format that has the operator.
            pub const fn format(self) -> u32 {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::FORMAT,)+
                }
            }

            /// See [`Operator::FRAGMENT`].
            pub const fn fragment(self) -> &'static str {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::FRAGMENT,)+
                }
            }

            /// See [`Operator::READS_PIXELS`].
            pub const fn reads_pixels(self) -> bool {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::READS_PIXELS,)+
                }
            }

            /// See [`Operator::LOGITS`].
            pub const fn logits(self) -> Logits {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::LOGITS,)+
                }
            }

            /// See [`Operator::example`].
            #[cfg(any(test, feature = "testing"))]
            pub fn example(self) -> Option<Network> {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::example(),)+
                }
            }
        }

        #[cfg(feature = "network")]
        impl Step {
            /// Returns the operator.
            pub fn operator(&self) -> Kind {
                match self {
                    $(Self::$Name(_) => Kind::$Name,)+
                }
            }

            /// Returns the layer's name in the source model.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$Name(step) => step.name(),)+
                }
            }

            /// Returns the tensors read.
            pub fn inputs(&self) -> Vec<TensorId> {
                match self {
                    $(Self::$Name(step) => step.inputs(),)+
                }
            }

            /// Returns the tensors written.
            pub fn outputs(&self) -> Vec<TensorId> {
                match self {
                    $(Self::$Name(step) => step.outputs(),)+
                }
            }

            fn tensors(&mut self) -> Vec<&mut TensorId> {
                match self {
                    $(Self::$Name(step) => step.tensors(),)+
                }
            }

            /// See [`Operator::replaceable`].
            pub fn replaceable(&self) -> Vec<TensorId> {
                match self {
                    $(Self::$Name(step) => step.replaceable(),)+
                }
            }

            /// Returns the multiply-accumulates, padding included.
            pub fn macs(&self, network: &Network) -> u64 {
                match self {
                    $(Self::$Name(step) => step.macs(network),)+
                }
            }

            /// Returns the number of weights and other constants per channel.
            pub fn parameters(&self) -> usize {
                match self {
                    $(Self::$Name(step) => step.parameters(),)+
                }
            }

            /// See [`Operator::check`].
            pub(crate) fn check(&self, network: &Network) -> Result<(), StepError> {
                match self {
                    $(Self::$Name(step) => step.check(network),)+
                }
            }

            /// See [`Operator::compile`].
            pub fn compile(&self, to: &mut Compiler<'_>) -> Record {
                match self {
                    $(Self::$Name(step) => Record::$Name(step.compile(to)),)+
                }
            }

            /// See [`Operator::write`].
            pub fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
                match self {
                    $(Self::$Name(step) => step.write(i, to),)+
                }
            }

            /// Reads a step from these statements; returns `None` if they are no step. See [`Operator::read`].
            pub fn read(
                chain: &[&Statement<'_>],
                from: &mut GraphReader<'_>,
            ) -> Result<Option<Self>, GraphError> {
                $(
                    if let Some(step) = <$module::$Name as Operator>::read(chain, from)? {
                        return Ok(Some(Self::$Name(step.into())));
                    }
                )+
                Ok(None)
            }

            /// See [`Operator::interpret`].
            #[cfg(any(test, feature = "testing"))]
            pub fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
                match self {
                    $(Self::$Name(step) => step.interpret(network, values),)+
                }
            }
        }
    };
}

#[cfg(feature = "network")]
impl Step {
    /// Returns the operator's name, one word.
    pub fn kind(&self) -> &'static str {
        self.operator().word()
    }

    /// Renumbers the tensors that the step reads and writes.
    pub fn renumber(&mut self, number: &dyn Fn(TensorId) -> TensorId) {
        self.tensors().into_iter().for_each(|t| *t = number(*t));
    }
}

#[cfg(feature = "network")]
impl Kind {
    /// Returns the operator with this name.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.word() == word)
    }
}

operators! {
    Conv = conv: ConvRecord, Box<conv::Conv>;
    MaxPool = max_pool: MaxPoolRecord, max_pool::MaxPool;
    AvgPool = avg_pool: AvgPoolRecord, avg_pool::AvgPool;
    Affine = affine: AffineRecord, affine::Affine;
    Add = add: AddRecord, add::Add;
    #[cfg(feature = "gates")]
    Sum = sum: SumRecord, sum::Sum;
    #[cfg(feature = "gates")]
    Table = table: TableRecord, table::Table;
    #[cfg(feature = "gates")]
    ChannelTable = channel_table: ChannelTableRecord, channel_table::ChannelTable;
    #[cfg(feature = "gates")]
    Scale = scale: ScaleRecord, scale::Scale;
    #[cfg(feature = "gates")]
    Dequantize = dequantize: DequantizeRecord, dequantize::Dequantize;
}
