//! Everything that was seen: `[min, max]`. Nothing is clipped; one outlier costs every other value
//! resolution.

use super::{Histogram, Range};

/// See the module.
pub fn range(h: &Histogram) -> Range {
    Range { lo: h.min, hi: h.max }
}
