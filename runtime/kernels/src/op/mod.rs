//! The operators: what each one is, all of it in one file.
//!
//! An operator's file holds
//!
//! - its arithmetic, in naive loops: the definition that every kernel set is tested against;
//! - its record in a plan ([`Operation`]): fields, validation, and how it runs on a kernel set;
//! - with the feature `network`, its step in a network ([`Operator`]): the tensors that it reads and
//!   writes, validation, compilation to a record, and the statements of `graph.nnef` that stand for it;
//! - with the feature `testing`, how a test interprets it.
//!
//! The table at the end of this file lists the operators. [`Record`] and [`Step`] and everything that is
//! done to any step (encoding, lifetimes, tracing, the plan cache, …) follow from it. To add an operator,
//! write its file and add its line.

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
    /// The first word of its record.
    const CODE: u32;

    /// Checks everything that running relies on.
    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault>;

    /// How many independent pieces the step falls into.
    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        1
    }

    /// Whether one thread runs all pieces, because a fork and join costs more.
    fn alone(&self) -> bool {
        false
    }

    /// Runs some of the pieces.
    ///
    /// # Safety
    /// [`Operation::check`] accepted the record for the plan that `on` runs. No piece is run by two threads,
    /// and no two threads have the same number at the same time.
    unsafe fn run(&self, on: &Machine<'_>, thread: usize, tasks: Range<usize>);

    /// Its packed constants.
    #[cfg(feature = "alloc")]
    fn blob(&mut self) -> Option<&mut Blob> {
        None
    }

    /// What it does where, for people and for traces.
    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline;
}

/// A record in words and places.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// The operator and its options, for example `conv 3×3 /2 +skip`.
    pub what: String,
    /// The shapes, for example `8×8×16 → 4×4×32`.
    pub shapes: String,
    /// Offsets of the tensors read; without the pixels.
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
    /// A record that reads some tensors and writes one of int8.
    pub(crate) fn simple(what: &str, shapes: String, reads: Vec<u32>, at: u32, shape: Shape) -> Self {
        Self { what: what.into(), shapes, reads, writes: Vec::from([Write { at, shape, int8: true }]) }
    }
}

/// Whether a step may write the logits.
#[cfg(feature = "network")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// It writes int8 tensors only.
    Never,
    /// It writes the logits or int8 tensors.
    Maybe,
    /// It writes the logits and nothing else.
    Always,
}

/// An operator's step in a network.
#[cfg(feature = "network")]
pub trait Operator: Sized {
    /// Its record in a plan.
    type Record: Operation;
    /// The operator in one word.
    const WORD: &'static str;
    /// The oldest version of the archive format that has it.
    const FORMAT: u32 = crate::network::OLDEST_FORMAT;
    /// The definition of its own fragment of `graph.nnef`, written only to archives that need it; empty when the
    /// common ones suffice.
    const FRAGMENT: &'static str = "";
    /// Whether it can read the pixels.
    const READS_PIXELS: bool = false;
    /// Whether it can write the logits.
    const LOGITS: Logits = Logits::Never;

    /// The layer's name in the source model.
    fn name(&self) -> &str;
    /// Tensors read.
    fn inputs(&self) -> Vec<TensorId>;
    /// Tensors written.
    fn outputs(&self) -> Vec<TensorId>;
    /// All of them, to give them other numbers.
    fn tensors(&mut self) -> Vec<&mut TensorId>;

    /// The inputs whose buffer the first output may take over, because kernels read each value before they
    /// write its place.
    fn replaceable(&self) -> Vec<TensorId> {
        Vec::new()
    }

    /// Multiply-accumulates, padding included.
    fn macs(&self, _network: &Network) -> u64 {
        0
    }

    /// Weights and other constants per channel.
    fn parameters(&self) -> usize {
        0
    }

    /// Checks shapes, lengths and ranges. All tensors exist.
    fn check(&self, network: &Network) -> Result<(), StepError>;

    /// Makes the record; the network is valid.
    fn compile(&self, to: &mut Compiler<'_>) -> Self::Record;

    /// Writes step number `i` to `graph.nnef`.
    fn write(&self, i: usize, to: &mut GraphWriter<'_>);

    /// Reads the step from the statements that make one: from the first on a tensor to the one that writes the
    /// result. `None` when they are another operator's.
    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError>;

    /// Runs the definition on plain tensors.
    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values);

    /// A network that has the step, for operators that [`crate::network::testing`] has none for.
    #[cfg(any(test, feature = "testing"))]
    fn example() -> Option<Network> {
        None
    }
}

/// Stamps [`Record`], [`Step`] and [`Kind`] from the table of operators.
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

            /// Reads a record; `None` when its kind or one of its choices is unknown. Numbers are not checked.
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
                // SAFETY: the caller's promise.
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

            /// The operator in one word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$Name => <$module::$Name as Operator>::WORD,)+
                }
            }

            /// The oldest version of the archive format that has it.
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
            /// The operator.
            pub fn operator(&self) -> Kind {
                match self {
                    $(Self::$Name(_) => Kind::$Name,)+
                }
            }

            /// The layer's name in the source model.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$Name(step) => step.name(),)+
                }
            }

            /// Tensors read.
            pub fn inputs(&self) -> Vec<TensorId> {
                match self {
                    $(Self::$Name(step) => step.inputs(),)+
                }
            }

            /// Tensors written.
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

            /// Multiply-accumulates, padding included.
            pub fn macs(&self, network: &Network) -> u64 {
                match self {
                    $(Self::$Name(step) => step.macs(network),)+
                }
            }

            /// Weights and other constants per channel.
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

            /// Reads the step that these statements make; `None` when they make none. See [`Operator::read`].
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
    /// The operator in one word.
    pub fn kind(&self) -> &'static str {
        self.operator().word()
    }

    /// Gives the tensors that the step reads and writes other numbers.
    pub fn renumber(&mut self, number: &dyn Fn(TensorId) -> TensorId) {
        self.tensors().into_iter().for_each(|t| *t = number(*t));
    }
}

#[cfg(feature = "network")]
impl Kind {
    /// The operator of this word.
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
