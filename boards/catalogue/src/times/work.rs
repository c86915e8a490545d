//! How much of each kind of work a step is, from its shape alone.
//!
//! The amounts mirror the loops of the two kernel sets that have a table: the rows and tiles of `neon`
//! ([`foldnet_kernels::neon_tiling`]) and the blocks of eight channels of `dotprod`. They are counts, not times: what
//! one of each costs on a core stands in `times.toml`.

use foldnet_kernels::neon_tiling::{self, CHANNELS, DEPTH_STEP};
use foldnet_kernels::{ConvDesc, PoolDesc, Shape, Source};

/// A step of a network, as far as its time depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A convolution or a dense layer; validated.
    Conv(ConvDesc),
    /// A max pooling; validated.
    MaxPool(PoolDesc),
    /// A global average pooling of a tensor of this shape.
    AvgPool(Shape),
    /// A map per channel of a tensor of this shape.
    Affine(Shape),
    /// An addition of two tensors of this shape.
    Add(Shape),
    /// Another operator, by its name.
    Other(&'static str),
}

/// Stamps [`Term`] and its names.
macro_rules! terms {
    ($($(#[$doc:meta])+ $Term:ident = $name:literal,)+) => {
        /// A kind of work.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Term {
            $($(#[$doc])+ $Term,)+
        }

        impl Term {
            /// All of them, in the order of [`Amounts`].
            pub const ALL: &[Self] = &[$(Self::$Term,)+];

            /// Its name in `times.toml`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Term => $name,)+
                }
            }
        }
    };
}

terms! {
    /// Multiply-accumulates of the register tile, with the depth's padding.
    Mac = "mac",
    /// One step of the depth of one register tile, for its loads and its loop.
    TileStep = "tile_step",
    /// Multiply-accumulates of a camera's pixels, whose rows are short.
    PixelMac = "pixel_mac",
    /// Multiply-accumulates of a dense layer, which uses each weight once.
    DenseMac = "dense_mac",
    /// Multiply-accumulates in Winograd's domain.
    Product = "product",
    /// A channel of a tile that Winograd transforms on its way in.
    TileIn = "tile_in",
    /// A channel of a tile that Winograd transforms on its way out.
    TileOut = "tile_out",
    /// A value that an epilogue scales, rounds and stores.
    Output = "output",
    /// A residual that an epilogue adds.
    Skip = "skip",
    /// A value of a second output.
    Second = "second",
    /// A byte that is copied for the tile.
    Packed = "packed",
    /// A byte of a camera's pixels that is copied for the tile.
    PackedPixel = "packed_pixel",
    /// A byte of weights that comes from a cache.
    CachedWeight = "cached_weight",
    /// A byte of weights that comes from main memory.
    StreamedWeight = "streamed_weight",
    /// A byte of a tensor that is larger than the cache.
    StreamedTensor = "streamed_tensor",
    /// A value that a max pooling compares.
    MaxTap = "max_tap",
    /// A value that an average pooling adds up.
    Mean = "mean",
    /// A value of an affine map.
    Affine = "affine",
    /// A value of an addition.
    Add = "add",
    /// A step.
    Step = "step",
}

/// How much there is of each [`Term`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amounts([f64; Term::ALL.len()]);

impl Amounts {
    /// Nothing.
    pub const NONE: Self = Self([0.0; Term::ALL.len()]);

    /// How much there is of a term.
    pub fn get(&self, term: Term) -> f64 {
        self.0[term as usize]
    }

    pub(super) fn set(&mut self, term: Term, amount: usize) {
        self.0[term as usize] = amount as f64;
    }

    /// Adds those of another step.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
    }
}

/// A core's caches and kernels, as far as amounts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its kernel set.
    pub set: Set,
    /// Whether it issues in order.
    pub in_order: bool,
    /// Bytes of the last cache in front of main memory.
    pub cache: usize,
}

/// The kernel sets that amounts are known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Armv8.0.
    Neon,
    /// Armv8.2 with dot products.
    Dotprod,
}

impl Set {
    /// By its name in the catalogue.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "neon" => Some(Self::Neon),
            "dotprod" => Some(Self::Dotprod),
            _ => None,
        }
    }
}

/// Bytes of packed rows that a block of pixels takes at most, and pixels (`neon`).
const ROWS_BYTES: usize = 128 << 10;
const BLOCK_PIXELS: usize = 64;
/// Output pixels and channels per tile (`neon`).
const MR: usize = 4;
const NR: usize = 4;
/// Channels per block, and output pixels of the widest tile (`dotprod`).
const CHANNEL_BLOCK: usize = 8;
const WIDEST: usize = 12;
/// Bytes of input that one band has at most (`dotprod`), and one group where the core issues in order.
const BAND_BYTES: usize = 128 << 10;
const GROUP_BYTES: usize = 16 << 10;

/// What a convolution's loops do.
struct Loops {
    macs: usize,
    tile_steps: usize,
    packed: usize,
    /// Bytes of packed weights, and how often all of them are read.
    weights: usize,
    passes: usize,
}

/// Bytes of weights that a step reads at least.
pub fn weight_bytes(step: &Step, set: Set) -> usize {
    match step {
        Step::Conv(desc) => match (set, neon_tiling::winograd(desc)) {
            (Set::Neon, Some(_)) => 72 * desc.x.c * desc.y.c,
            (Set::Neon, None) => neon(desc).weights,
            (Set::Dotprod, _) => dotprod(desc, false).weights,
        },
        _ => 0,
    }
}

/// The amounts of a step; `streams` says that the network's weights exceed the cache. `Err` names what has no table.
pub fn amounts(step: &Step, on: &Machine, streams: bool) -> Result<Amounts, &'static str> {
    let mut to = Amounts::NONE;
    to.set(Term::Step, 1);
    let mut tensors = |bytes: usize| {
        if bytes > on.cache {
            to.set(Term::StreamedTensor, bytes);
        }
    };
    match step {
        Step::Conv(desc) => {
            let outputs = usize::from(desc.output.has_int8()) + usize::from(desc.output.has_affine());
            let input = if desc.source == Source::Pixels { 0 } else { desc.x.len() };
            tensors(input + (outputs + usize::from(desc.skip)) * desc.y.len());
            conv(desc, on, streams, &mut to)?;
        }
        Step::MaxPool(desc) => {
            tensors(desc.x.len() + desc.y.len());
            to.set(Term::MaxTap, desc.y.len() * desc.kernel[0] * desc.kernel[1]);
        }
        Step::AvgPool(shape) => to.set(Term::Mean, shape.len()),
        Step::Affine(shape) => {
            tensors(2 * shape.len());
            to.set(Term::Affine, shape.len());
        }
        Step::Add(shape) => {
            tensors(3 * shape.len());
            to.set(Term::Add, shape.len());
        }
        Step::Other(operator) => return Err(operator),
    }
    Ok(to)
}

fn conv(desc: &ConvDesc, on: &Machine, streams: bool, to: &mut Amounts) -> Result<(), &'static str> {
    if desc.groups > 1 {
        return Err("grouped conv");
    }
    let outputs = desc.y.pixels() * desc.y.c.next_multiple_of(CHANNEL_BLOCK);
    to.set(Term::Output, outputs);
    to.set(Term::Skip, if desc.skip { outputs } else { 0 });
    to.set(Term::Second, if desc.output.has_affine() { outputs } else { 0 });
    let tiling = (on.set == Set::Neon).then(|| neon_tiling::winograd(desc)).flatten();
    let (weights, passes) = if let Some(tiling) = tiling {
        to.set(Term::Product, tiling.products() * desc.x.c * desc.y.c);
        to.set(Term::TileIn, tiling.tiles() * desc.x.c);
        to.set(Term::TileOut, tiling.tiles() * desc.y.c);
        (72 * desc.x.c * desc.y.c, tiling.bands())
    } else {
        let loops = match on.set {
            Set::Neon => neon(desc),
            Set::Dotprod => dotprod(desc, on.in_order),
        };
        let pixels = desc.source == Source::Pixels;
        let mac = match desc.y.pixels() {
            1 => Term::DenseMac,
            _ if pixels => Term::PixelMac,
            _ => Term::Mac,
        };
        to.set(mac, loops.macs);
        to.set(Term::TileStep, loops.tile_steps);
        to.set(if pixels { Term::PackedPixel } else { Term::Packed }, loops.packed);
        (loops.weights, loops.passes)
    };
    // Of a layer that the cache holds only the first pass comes from main memory.
    let streamed = match (streams, weights > on.cache) {
        (false, _) => 0,
        (true, false) => weights,
        (true, true) => weights * passes,
    };
    to.set(Term::StreamedWeight, streamed);
    to.set(Term::CachedWeight, weights * passes - streamed);
    Ok(())
}

/// The direct kernel of `neon`: tiles of four pixels and single ones, over rows that are packed for each block.
fn neon(desc: &ConvDesc) -> Loops {
    let (pixels, row) = (desc.y.pixels(), neon_tiling::row_bytes(desc));
    let panels = desc.y.c.div_ceil(NR);
    let block = (ROWS_BYTES / row).clamp(MR, BLOCK_PIXELS);
    Loops {
        macs: pixels * panels * NR * row,
        tile_steps: (pixels / MR + pixels % MR) * panels * (row / DEPTH_STEP),
        packed: pixels * row,
        weights: panels * NR * row + 8 * desc.y.c.next_multiple_of(CHANNELS),
        passes: pixels.div_ceil(block),
    }
}

/// The tiles of `dotprod`: twelve, eight, four or two pixels by eight channels.
fn dotprod(desc: &ConvDesc, in_order: bool) -> Loops {
    let pixels = desc.y.pixels();
    let source = desc.source == Source::Pixels;
    let direct = !source && desc.is_pointwise() && desc.x.w == desc.y.w;
    let panels = desc.y.c.div_ceil(CHANNEL_BLOCK);
    let steps = if source {
        desc.kernel[0] * (desc.kernel[1] * desc.x.c).div_ceil(CHANNEL_BLOCK)
    } else {
        desc.kernel[0] * desc.kernel[1] * desc.x.c.div_ceil(CHANNEL_BLOCK)
    };
    let rest = match (pixels % WIDEST).next_multiple_of(2) {
        0 => 0,
        6 | 10 => 2,
        _ => 1,
    };
    // A copy for each kernel column of what a band reads.
    let packed = match (direct, source) {
        (true, _) => 0,
        (false, true) => desc.x.h * desc.y.w * (steps / desc.kernel[0]) * CHANNEL_BLOCK,
        (false, false) => {
            let rows = desc.kernel[0].min(desc.stride[0]).max(1) * desc.y.h;
            desc.kernel[1] * rows * desc.y.w * desc.x.c.next_multiple_of(CHANNEL_BLOCK)
        }
    };
    let input = if direct { desc.x.len() } else { packed };
    let passes = if in_order {
        let group = (GROUP_BYTES / (steps * CHANNEL_BLOCK) / WIDEST).max(1) * WIDEST;
        pixels.div_ceil(group)
    } else {
        input.div_ceil(BAND_BYTES)
    };
    Loops {
        macs: pixels.next_multiple_of(2) * panels * CHANNEL_BLOCK * steps * CHANNEL_BLOCK,
        tile_steps: (pixels / WIDEST + rest) * panels * steps,
        packed,
        weights: panels * (128 + steps * CHANNEL_BLOCK * CHANNEL_BLOCK),
        passes,
    }
}
