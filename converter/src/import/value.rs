//! Represents an ONNX tensor as a node of the graph with its axes in some order.
//!
//! Our graph is NHWC. ONNX tensors are NCHW around convolutions, NHWC if TensorFlow wrote them, and flat after a
//! Flatten. No data is moved for that: a value records which axes each dimension of the ONNX tensor covers, and
//! transpositions and reshapes only change this record. So pairs of transpositions cancel automatically.

use foldnet_kernels::Shape;

use crate::graph::NodeId;

/// An axis of a node's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Rows.
    H,
    /// Columns.
    W,
    /// Channels.
    C,
}

impl Axis {
    /// Returns its length.
    pub fn size(self, shape: Shape) -> usize {
        match self {
            Self::H => shape.h,
            Self::W => shape.w,
            Self::C => shape.c,
        }
    }

    /// Returns the distance between its neighbours in a node's output.
    pub fn stride(self, shape: Shape) -> usize {
        match self {
            Self::H => shape.w * shape.c,
            Self::W => shape.c,
            Self::C => 1,
        }
    }
}

/// An ONNX tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The node with this output.
    pub node: NodeId,
    /// For each dimension the axes that it covers, slowest first. Axes of length 1 are left out, so the batch
    /// dimension is empty.
    pub dims: Vec<Vec<Axis>>,
    /// Whether the network's last function was applied to it: nothing may be computed from it any more.
    pub finished: bool,
    /// Whether it has integers: the image's bytes before they are cast.
    pub integer: bool,
}

impl Value {
    /// Creates a value from a node's output with dimensions of one axis each (`None`: length 1).
    pub fn new(node: NodeId, shape: Shape, dims: &[Option<Axis>]) -> Self {
        let dims = dims.iter().map(|d| d.iter().copied().filter(|a| a.size(shape) > 1).collect()).collect();
        Self { node, dims, finished: false, integer: false }
    }

    /// Creates a value from a node's output as `[1, C, H, W]`.
    pub fn nchw(node: NodeId, shape: Shape) -> Self {
        Self::new(node, shape, &[None, Some(Axis::C), Some(Axis::H), Some(Axis::W)])
    }

    /// Drops axes that have become 1 long.
    pub fn forget_short(&mut self, shape: Shape) {
        self.dims.iter_mut().for_each(|d| d.retain(|a| a.size(shape) > 1));
    }

    /// Returns the lengths of the dimensions.
    pub fn sizes(&self, shape: Shape) -> Vec<usize> {
        self.dims.iter().map(|d| d.iter().map(|a| a.size(shape)).product()).collect()
    }

    /// Returns whether this is `[1, C, H, W]`.
    pub fn is_nchw(&self, shape: Shape) -> bool {
        self.dims == Self::nchw(self.node, shape).dims
    }

    /// Returns the dimension that consists of this axis alone, or `None` if it is merged with others.
    pub fn dim_of(&self, axis: Axis) -> Option<usize> {
        self.dims.iter().position(|d| d[..] == [axis])
    }

    /// Reorders the dimensions.
    pub fn transposed(&self, order: &[usize]) -> Option<Self> {
        let mut seen = vec![false; self.dims.len()];
        let mut dims = Vec::with_capacity(order.len());
        for &d in order {
            if std::mem::replace(seen.get_mut(d)?, true) {
                return None;
            }
            dims.push(self.dims[d].clone());
        }
        (dims.len() == self.dims.len()).then_some(Self { dims, ..self.clone() })
    }

    /// Returns the same numbers in the same order with other dimensions, or `None` if a dimension would contain
    /// part of an axis.
    pub fn reshaped(&self, shape: Shape, target: &[usize]) -> Option<Self> {
        let mut axes = self.dims.iter().flatten().copied().peekable();
        let mut dims = Vec::with_capacity(target.len());
        for &size in target {
            let (mut dim, mut have) = (Vec::new(), 1);
            while have < size {
                let axis = axes.next()?;
                have *= axis.size(shape);
                dim.push(axis);
            }
            if have != size {
                return None;
            }
            dims.push(dim);
        }
        axes.peek().is_none().then_some(Self { dims, ..self.clone() })
    }

    /// Expands a constant that broadcasts to this value into one number per channel. Returns `None` if it differs
    /// between pixels.
    pub fn per_channel(&self, shape: Shape, dims: &[usize], values: &[f32]) -> Option<Vec<f32>> {
        if values.len() == 1 {
            return Some(vec![values[0]; shape.c]);
        }
        let sizes = self.sizes(shape);
        let lead = sizes.len().checked_sub(dims.len())?;
        let channels = self.dim_of(Axis::C)?;
        let fits = |(d, &n): (usize, &usize)| n == 1 || (d + lead == channels && n == sizes[d + lead]);
        (dims.iter().enumerate().all(fits) && values.len() == shape.c).then(|| values.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Axis::{C, H, W};

    const SHAPE: Shape = Shape::new(4, 5, 6);

    fn value() -> Value {
        Value::nchw(3, SHAPE)
    }

    #[test]
    fn transpositions_cancel() {
        let nhwc = value().transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!(nhwc.sizes(SHAPE), [1, 4, 5, 6]);
        assert!(nhwc.transposed(&[0, 3, 1, 2]).unwrap().is_nchw(SHAPE));
        assert_eq!(value().transposed(&[0, 1, 1, 2]), None);
        assert_eq!(value().transposed(&[0, 1, 2]), None);
    }

    #[test]
    fn reshapes_merge_whole_axes_only() {
        let flat = value().reshaped(SHAPE, &[1, 120]).unwrap();
        assert_eq!(flat.dims, [vec![], vec![C, H, W]]);
        assert_eq!(flat.reshaped(SHAPE, &[1, 6, 20]).unwrap().dims, [vec![], vec![C], vec![H, W]]);
        assert!(flat.reshaped(SHAPE, &[6, 4, 5]).is_some());
        assert_eq!(flat.reshaped(SHAPE, &[1, 12, 10]), None);
        assert_eq!(flat.reshaped(SHAPE, &[1, 6, 4]), None);
    }

    #[test]
    fn constants_broadcast_over_channels_only() {
        let v: Vec<f32> = (0..6).map(|i| i as f32).collect();
        assert_eq!(value().per_channel(SHAPE, &[6, 1, 1], &v), Some(v.clone()));
        assert_eq!(value().per_channel(SHAPE, &[1, 6, 1, 1], &v), Some(v.clone()));
        assert_eq!(value().per_channel(SHAPE, &[6], &v), None, "the last dimension is the width");
        let nhwc = value().transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!(nhwc.per_channel(SHAPE, &[6], &v), Some(v.clone()));
        assert_eq!(value().per_channel(SHAPE, &[], &[2.0]), Some(vec![2.0; 6]));
        assert_eq!(value().per_channel(SHAPE, &[1; 5], &[2.0]), Some(vec![2.0; 6]));
    }
}
