//! Shapes of activations and descriptions of operators, as every kernel set receives them.
//!
//! Nothing here is trusted, because a plan comes from a file. [`ConvDesc::validate`] and [`PoolDesc::validate`]
//! bound every dimension, so that later arithmetic on them in `usize` cannot overflow (on 64-bit hosts) and every
//! tap of every output is inside the padded input.

use core::fmt;

/// Height, width and channels of one activation; the batch is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    /// The number of rows.
    pub h: usize,
    /// The number of columns.
    pub w: usize,
    /// The number of channels; the channel is the fastest-running index.
    pub c: usize,
}

impl Shape {
    /// Creates a shape from height, width and channels.
    pub const fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// Returns rows × columns.
    pub const fn pixels(&self) -> usize {
        self.h * self.w
    }

    /// Returns rows × columns × channels.
    pub const fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Returns whether a dimension is zero.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses empty shapes, and dimensions or volumes that exceed a plan's limits.
    pub fn validate(&self) -> Result<(), ShapeError> {
        let side = |n: usize| (1..=MAX_SIDE).contains(&n);
        if !side(self.h) || !side(self.w) || !side(self.c) {
            return Err(ShapeError::Side);
        }
        if self.h.checked_mul(self.w).and_then(|n| n.checked_mul(self.c)).is_none_or(|n| n > MAX_VOLUME) {
            return Err(ShapeError::Volume);
        }
        Ok(())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.h, self.w, self.c)
    }
}

/// The longest side of an activation.
pub const MAX_SIDE: usize = 1 << 15;
/// The largest number of elements of an activation or of one layer's weights.
pub const MAX_VOLUME: usize = 1 << 28;
/// The largest kernel side, stride or dilation.
pub const MAX_KERNEL: usize = 31;

/// The reason why a shape or an operator description is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// A side is zero or longer than [`MAX_SIDE`].
    Side,
    /// The volume exceeds [`MAX_VOLUME`].
    Volume,
    /// Kernel, stride, dilation or padding is zero or out of range.
    Window,
    /// The output size does not match input, kernel, stride and padding.
    Output,
    /// The groups do not divide the channels.
    Groups,
    /// A combination that has no meaning (an f32 output with a residual, or larger than 1×1, …).
    Combination,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Side => "a side is zero or too long",
            Self::Volume => "too many elements",
            Self::Window => "kernel, stride, dilation or padding out of range",
            Self::Output => "the output size does not follow from the input size",
            Self::Groups => "the groups do not divide the channels",
            Self::Combination => "this combination of options has no meaning",
        })
    }
}

impl core::error::Error for ShapeError {}

/// The place of a convolution's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An activation in the arena, in the kernel set's own layout.
    Tensor,
    /// The network's input: `h·w·c` bytes of u8 pixels, interleaved (HWC), `c ≤ 4`, with nothing readable after
    /// them. A pixel `p` has the int8 value `p − 128`.
    Pixels,
}

/// The outputs of a convolution. `v` is the requantized sum before rounding, see [`crate::reference::conv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvOutput {
    /// `y = rne(v) + z`, int8.
    Int8,
    /// `y` as in `Int8`, and `y2 = rne(v·gain + offset) + z2`, both int8 (ResNet V2: sum and preactivation).
    Int8AndAffine,
    /// Only `y2`.
    Affine,
    /// `v` itself as f32, for logits: `y.h = y.w = 1`, no residual.
    Float32,
}

impl ConvOutput {
    /// Returns whether `y` is written as int8.
    pub const fn has_int8(self) -> bool {
        matches!(self, Self::Int8 | Self::Int8AndAffine)
    }

    /// Returns whether `y2` is written.
    pub const fn has_affine(self) -> bool {
        matches!(self, Self::Int8AndAffine | Self::Affine)
    }
}

/// A 2-D convolution with its fused epilogue. A dense layer is the 1×1 case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvDesc {
    /// The shape of the input.
    pub x: Shape,
    /// The shape of the output, and of the residual and the second output.
    pub y: Shape,
    /// The kernel's height and width.
    pub kernel: [usize; 2],
    /// The vertical and horizontal stride.
    pub stride: [usize; 2],
    /// The vertical and horizontal dilation.
    pub dilation: [usize; 2],
    /// The padding above and to the left; the padding below and to the right follows from `y`.
    pub pad: [usize; 2],
    /// The number of channel groups.
    pub groups: usize,
    /// The place of the input.
    pub source: Source,
    /// Whether an int8 residual of shape `y` is added before rounding.
    pub skip: bool,
    /// The outputs that are written.
    pub output: ConvOutput,
}

impl ConvDesc {
    /// Returns the number of input channels that one output channel reads.
    pub const fn c_in(&self) -> usize {
        self.x.c / self.groups
    }

    /// Returns the number of products summed for one output value: kernel height × width × `c_in`.
    pub const fn depth(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.c_in()
    }

    /// Returns the multiply-accumulates of the whole convolution, padding included.
    pub const fn macs(&self) -> u64 {
        (self.y.len() as u64) * (self.depth() as u64)
    }

    /// Returns whether the convolution is a plain matrix product: 1×1, stride 1, no padding, one group.
    pub const fn is_pointwise(&self) -> bool {
        self.kernel[0] == 1
            && self.kernel[1] == 1
            && self.stride[0] == 1
            && self.stride[1] == 1
            && self.pad[0] == 0
            && self.pad[1] == 0
            && self.groups == 1
    }

    /// Checks every relation on which kernels rely.
    pub fn validate(&self) -> Result<(), ShapeError> {
        self.x.validate()?;
        self.y.validate()?;
        for axis in 0..2 {
            let (k, s, d, p) = (self.kernel[axis], self.stride[axis], self.dilation[axis], self.pad[axis]);
            let (x, y) = if axis == 0 { (self.x.h, self.y.h) } else { (self.x.w, self.y.w) };
            check_window(x, y, k, s, d, p)?;
        }
        if self.groups == 0 || !self.x.c.is_multiple_of(self.groups) || !self.y.c.is_multiple_of(self.groups)
        {
            return Err(ShapeError::Groups);
        }
        if self.y.c.checked_mul(self.depth()).is_none_or(|n| n > MAX_VOLUME) {
            return Err(ShapeError::Volume);
        }
        if self.output == ConvOutput::Float32 && (self.skip || self.y.h != 1 || self.y.w != 1) {
            return Err(ShapeError::Combination);
        }
        if self.source == Source::Pixels && (self.x.c > 4 || self.groups != 1) {
            return Err(ShapeError::Combination);
        }
        Ok(())
    }
}

/// A max pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolDesc {
    /// The shape of the input.
    pub x: Shape,
    /// The shape of the output, which has the same channels.
    pub y: Shape,
    /// The window's height and width.
    pub kernel: [usize; 2],
    /// The vertical and horizontal stride.
    pub stride: [usize; 2],
    /// The padding above and to the left, smaller than the window.
    pub pad: [usize; 2],
    /// The value of the padding on all four sides: −128 never wins, and the zero point is a zero padding before
    /// the pooling.
    pub pad_value: i8,
}

impl PoolDesc {
    /// Checks every relation on which kernels rely; each window contains at least one real pixel.
    pub fn validate(&self) -> Result<(), ShapeError> {
        self.x.validate()?;
        self.y.validate()?;
        if self.x.c != self.y.c {
            return Err(ShapeError::Output);
        }
        for axis in 0..2 {
            let (k, s, p) = (self.kernel[axis], self.stride[axis], self.pad[axis]);
            let (x, y) = if axis == 0 { (self.x.h, self.y.h) } else { (self.x.w, self.y.w) };
            check_window(x, y, k, s, 1, p)?;
            if p >= k || (y - 1) * s >= x + p {
                return Err(ShapeError::Window);
            }
        }
        Ok(())
    }
}

/// Checks that `y` outputs of a `k`-tap window fit an input of `x` with `p` before it and at most one window's
/// reach after it.
fn check_window(x: usize, y: usize, k: usize, s: usize, d: usize, p: usize) -> Result<(), ShapeError> {
    let in_range = |n: usize| (1..=MAX_KERNEL).contains(&n);
    if !in_range(k) || !in_range(s) || !in_range(d) {
        return Err(ShapeError::Window);
    }
    let reach = (k - 1) * d;
    if p > reach {
        return Err(ShapeError::Window);
    }
    // The last window may extend at most `reach` beyond the input.
    if (y - 1) * s + reach > x + p + reach - 1 {
        return Err(ShapeError::Output);
    }
    Ok(())
}
