//! The inner loop of the f32 convolution: a tile of pixels times a panel of output channels.
//!
//! Every output is one sum `((b + x₀·w₀) + x₁·w₁) + …` in the order of the weights, each product rounded to f32
//! before it is added. Vectors hold different outputs, so the number of lanes and of pixels in a tile does not
//! change the bits. The limit is that of separate multiplications and additions, half of what fused ones reach.

/// The number of output channels in a panel.
pub const PANEL: usize = 16;

/// A row of a panel; aligned for the widest vectors.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; PANEL]);

/// The largest number of pixels in a tile, see [`Tile::best`].
pub const MOST_PIXELS: usize = 14;

/// How a tile is computed on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// The instructions that every processor of the architecture has.
    Baseline,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Tile {
    /// Returns every way that this processor has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut all = vec![Self::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// Returns the fastest way that this processor has.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Baseline)
    }

    /// Returns the number of pixels in a tile: as many as leave the sums in registers.
    pub fn pixels(self) -> usize {
        match self {
            Self::Baseline => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 6,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => MOST_PIXELS,
        }
    }

    /// Adds to each pixel's sums the products of its values with the panel. `values` holds [`Tile::pixels`] rows of
    /// `panel.len()` numbers; `sums` has as many entries.
    pub fn run(self, values: &[f32], panel: &[Lanes], sums: &mut [Lanes]) {
        assert_eq!((values.len(), sums.len()), (self.pixels() * panel.len(), self.pixels()));
        match self {
            Self::Baseline => multiply::<4>(values, panel, sums),
            // SAFETY: this variant comes from `available`, which found the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(values, panel, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(values, panel, sums) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(values: &[f32], panel: &[Lanes], sums: &mut [Lanes]) {
    multiply::<6>(values, panel, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(values: &[f32], panel: &[Lanes], sums: &mut [Lanes]) {
    multiply::<MOST_PIXELS>(values, panel, sums);
}

#[inline(always)]
fn multiply<const PIXELS: usize>(values: &[f32], panel: &[Lanes], sums: &mut [Lanes]) {
    let depth = panel.len();
    let rows: [&[f32]; PIXELS] = std::array::from_fn(|p| &values[p * depth..][..depth]);
    let mut kept: [[f32; PANEL]; PIXELS] = std::array::from_fn(|p| sums[p].0);
    for (k, weights) in panel.iter().enumerate() {
        for p in 0..PIXELS {
            let x = rows[p][k];
            kept[p].iter_mut().zip(weights.0).for_each(|(sum, weight)| *sum += x * weight);
        }
    }
    sums.iter_mut().zip(kept).for_each(|(sum, kept)| sum.0 = kept);
}
