//! The range of all values seen: `[min, max]`. Nothing is clipped, but one outlier reduces the resolution of every
//! other value.

use super::{Histogram, Range};

/// See the module.
pub fn range(h: &Histogram) -> Range {
    Range { lo: h.min, hi: h.max }
}
