//! The NNEF fragments that an archive's graph is written in.
//!
//! Every archive starts its graph with these definitions, so the file is complete: stock tract, which knows
//! nothing of Foldnet, runs the bodies and gets the same bits. Our own reader compares the preamble byte for byte
//! and then goes by the names. The arithmetic is that of [`foldnet_kernels::reference`]; the steps from int8 to
//! f32 and back are
//!
//! ```text
//! foldnet_conv      v = f32(Σ (x − x_zero)·w + bias) · multiplier
//! foldnet_scaled    v = f32(x − zero) · multiplier
//! foldnet_residual  v = v' + f32(x − zero) · multiplier
//! foldnet_mean      v = f32(Σ x − pixels·zero) · multiplier
//! foldnet_affine    v = v' · gain + offset
//! foldnet_round     y = int8(clamp(rne(v) + zero, lo, hi))
//! foldnet_max_pool  y = max over windows, padding = pad_value
//! foldnet_table     y = table[x + 128]
//! foldnet_gated     v = f32(x − zero) · (f32(gate − gate_zero) · multiplier)
//! foldnet_rows      y = v, NHWC
//! foldnet_pixels    x = int8(p − 128), padded with `zero` per channel
//! ```
//!
//! In tract's quantized convolution `a` is the kernel and `b` the input. Activations are NCHW here, as in NNEF.
//! The parameters that no body uses (`name`, `scale`, `weight_scale`) are for readers of the file.

#[cfg(any(test, feature = "write"))]
use std::collections::HashSet;

use crate::Kind;
#[cfg(any(test, feature = "write"))]
use crate::Network;

/// The definitions at the start of every graph, byte for byte.
pub(crate) const PREAMBLE: &str = include_str!("preamble.nnef");

/// Returns the definitions that a network's graph needs: the common ones and those of its operators.
#[cfg(any(test, feature = "write"))]
pub(crate) fn definitions(network: &Network) -> String {
    let used: HashSet<Kind> = network.steps.iter().map(|s| s.operator()).collect();
    let own = Kind::ALL.iter().filter(|k| used.contains(k)).map(|k| k.fragment());
    std::iter::once(PREAMBLE).chain(own).collect()
}

/// Returns the text after the definitions, or `None` if the definitions are not ours.
pub(crate) fn strip_definitions(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix(PREAMBLE)?;
    for kind in Kind::ALL {
        rest = rest.strip_prefix(kind.fragment()).unwrap_or(rest);
    }
    Some(rest)
}
