//! The outputs of a tile, and the place of its values among those of its band.
//!
//! A tile of 3 has no value at the point −2, the last of the six. So there are four *classes* of positions ξ = (i,
//! j), each with its own tiles: class `2·(i = 5) + (j = 5)`. Class 0 has all tiles of a band, 1 those of four
//! columns, 2 those of four rows, 3 those of both. A band's tiles are numbered by kind, rows × columns: first 3×4,
//! then 4×4, 4×3 and 3×3. Each class is a range of them.
//!
//! V contains, position after position, one entry per tile of the position's class.

use core::ops::Range;

use super::{GROUP, REACH, TILE};
use crate::neon_tiling::{Axis, Tiling};

/// See the module.
pub const CLASSES: usize = 4;
/// The points that tiles of both sizes have.
const COMMON: usize = REACH - 1;

/// A band: some rows of tiles.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    tiling: Tiling,
    first: usize,
    high: usize,
    high_fours: usize,
}

impl Band {
    /// Returns band number `band` of these tiles.
    pub fn new(tiling: &Tiling, band: usize) -> Self {
        let first = band * tiling.high;
        let end = (first + tiling.high).min(tiling.rows.tiles());
        Self {
            tiling: *tiling,
            first,
            high: end - first,
            high_fours: tiling.rows.fours.clamp(first, end) - first,
        }
    }

    /// Returns the number of tiles.
    pub fn tiles(&self) -> usize {
        self.high * self.tiling.columns.tiles()
    }

    /// Returns the number of tiles of each kind, in their order.
    fn kinds(&self) -> [usize; 4] {
        let (fours, threes) = (self.high_fours, self.high - self.high_fours);
        let columns = &self.tiling.columns;
        [threes * columns.fours, fours * columns.fours, fours * columns.threes, threes * columns.threes]
    }

    /// Returns the first output row and column of tile `t`, and whether it has four rows and four columns.
    pub fn tile(&self, mut t: usize) -> ([usize; 2], [bool; 2]) {
        let kinds = self.kinds();
        let mut kind = 0;
        while t >= kinds[kind] {
            t -= kinds[kind];
            kind += 1;
        }
        let four = [kind == 1 || kind == 2, kind < 2];
        let columns = &self.tiling.columns;
        let wide = if four[1] { columns.fours } else { columns.threes };
        let row = self.first + t / wide + if four[0] { 0 } else { self.high_fours };
        let column = t % wide + if four[1] { 0 } else { columns.fours };
        ([start(&self.tiling.rows, row), start(columns, column)], four)
    }

    /// Returns the tiles of a class.
    pub fn class(&self, class: usize) -> Range<usize> {
        let kinds = self.kinds();
        match class {
            0 => 0..self.tiles(),
            1 => 0..kinds[0] + kinds[1],
            2 => kinds[0]..kinds[0] + kinds[1] + kinds[2],
            _ => kinds[0]..kinds[0] + kinds[1],
        }
    }

    /// Returns the number of tiles of a class.
    pub fn count(&self, class: usize) -> usize {
        self.class(class).len()
    }

    /// Returns the entries of the positions (i, 0…5) for an i that all tiles have.
    pub fn row(&self) -> usize {
        COMMON * self.count(0) + self.count(1)
    }

    /// Returns the number of entries before the first position of a class.
    pub fn start(&self, class: usize) -> usize {
        match class {
            0 => 0,
            1 => COMMON * self.count(0),
            2 => COMMON * self.row(),
            _ => COMMON * self.row() + COMMON * self.count(2),
        }
    }

    /// Returns the positions of a class.
    pub fn positions(class: usize) -> [Range<usize>; 2] {
        let range = |last| if last { COMMON..REACH } else { 0..COMMON };
        [range(class & 2 != 0), range(class & 1 != 0)]
    }
}

/// Returns the first output of tile `i` along a side.
fn start(axis: &Axis, i: usize) -> usize {
    i * TILE - i.saturating_sub(axis.fours)
}

/// Returns the number of groups of at most [`GROUP`] for this many tiles.
pub const fn groups(tiles: usize) -> usize {
    tiles.div_ceil(GROUP)
}

/// Returns the first tile and the size of group `g` of an even division of `tiles`.
pub const fn group(tiles: usize, g: usize) -> (usize, usize) {
    let groups = groups(tiles);
    let first = tiles * g / groups;
    (first, tiles * (g + 1) / groups - first)
}

/// Returns the group that contains tile `t` of `tiles`: its first tile, its size, and the index of `t` in it.
pub fn group_of(tiles: usize, t: usize) -> (usize, usize, usize) {
    // The last group whose first tile is not after `t`.
    let g = ((t + 1) * groups(tiles) - 1) / tiles;
    let (first, count) = group(tiles, g);
    (first, count, t - first)
}
