//! The table of costs: `times.toml`, strict.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::work::{Amounts, Machine, Set, Term};

/// The table that comes with the program.
static BUILT_IN: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("../../times.toml")).unwrap_or_else(|e| panic!("{e}")));

/// The table that comes with the program; a test reads it.
pub fn built_in() -> &'static Table {
    &BUILT_IN
}

/// What one of each kind of work costs, for each core.
#[derive(Debug)]
pub struct Table {
    cores: Vec<Core>,
    in_order: Bias,
    out_of_order: Bias,
}

/// What published times were, as multiples of the emulator's estimates of them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bias {
    /// The least.
    pub low: f64,
    /// What is expected: the mean over rows of the program's own version and day.
    pub middle: f64,
    /// The most.
    pub high: f64,
}

/// A core's costs.
#[derive(Debug)]
pub struct Core {
    /// One of [`crate::CORES`].
    pub name: String,
    /// What amounts depend on.
    pub machine: Machine,
    /// How far predictions were from the estimates of networks that they were not fitted to, at most.
    pub error: f64,
    /// In cycles.
    cycles: Vec<(Term, f64)>,
    /// In nanoseconds, whatever the clock: main memory.
    nanoseconds: Vec<(Term, f64)>,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not TOML, or not of this form.
    #[error("times.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// A name is unknown.
    #[error("times.toml: unknown {0} `{1}`")]
    Unknown(&'static str, String),
    /// A number is out of range.
    #[error("times.toml: {0} of {1} is out of range")]
    Range(String, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bias: Biases,
    core: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Biases {
    in_order: Bias,
    out_of_order: Bias,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    core: String,
    in_order: bool,
    cache_kb: u32,
    error: f64,
    cycles: BTreeMap<String, f64>,
    nanoseconds: BTreeMap<String, f64>,
}

impl Table {
    /// Reads a table.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let File { bias: Biases { in_order, out_of_order }, core } = toml::from_str(text)?;
        for bias in [in_order, out_of_order] {
            if !(0.0 < bias.low && bias.low <= bias.middle && bias.middle <= bias.high && bias.high < 10.0) {
                return Err(TableError::Range("bias".into(), "the estimates".into()));
            }
        }
        let cores = core.into_iter().map(Entry::core).collect::<Result<_, _>>()?;
        Ok(Self { cores, in_order, out_of_order })
    }

    /// A core's costs.
    pub fn core(&self, name: &str) -> Option<&Core> {
        self.cores.iter().find(|core| core.name == name)
    }

    /// All cores.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// How far the estimates of a kind of core were from published times.
    pub fn bias(&self, in_order: bool) -> Bias {
        if in_order { self.in_order } else { self.out_of_order }
    }
}

impl Entry {
    fn core(self) -> Result<Core, TableError> {
        let known = crate::CORES.iter().find(|(name, _)| *name == self.core);
        let set = known.and_then(|(_, set)| Set::of(set));
        let set = set.ok_or_else(|| TableError::Unknown("core", self.core.clone()))?;
        let costs = |costs: BTreeMap<String, f64>| {
            let cost = |(name, cost): (String, f64)| {
                let term = Term::ALL.iter().find(|term| term.name() == name);
                let term = *term.ok_or_else(|| TableError::Unknown("term", name.clone()))?;
                if !(0.0..1e9).contains(&cost) {
                    return Err(TableError::Range(name, self.core.clone()));
                }
                Ok((term, cost))
            };
            costs.into_iter().map(cost).collect::<Result<Vec<_>, _>>()
        };
        let (cycles, nanoseconds) = (costs(self.cycles)?, costs(self.nanoseconds)?);
        if !(0.0..1.0).contains(&self.error) {
            return Err(TableError::Range("error".into(), self.core));
        }
        let machine = Machine { set, in_order: self.in_order, cache: self.cache_kb as usize * 1024 };
        Ok(Core { name: self.core, machine, error: self.error, cycles, nanoseconds })
    }
}

impl Core {
    /// Milliseconds of these amounts at a clock, as the emulator would estimate them.
    pub fn ms(&self, amounts: &Amounts, mhz: f64) -> f64 {
        let sum =
            |costs: &[(Term, f64)]| costs.iter().map(|(term, cost)| amounts.get(*term) * cost).sum::<f64>();
        sum(&self.cycles) / (mhz * 1e3) + sum(&self.nanoseconds) / 1e6
    }
}
