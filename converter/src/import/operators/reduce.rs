//! Means, sums and maxima over whole dimensions.

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::super::Importer;
use super::super::constant::integers;
use super::super::moves::{self, lower};
use super::super::node::{Node, Problem};
use super::super::value::{Axis, Value};
use super::pool::max_of_all;
use crate::graph::{NodeId, Op, Window};

/// A node that is the mean over all rows, or over all columns, of another node, times a factor.
pub struct Half {
    of: NodeId,
    factor: f32,
}

/// The reduced axes, and the value's dimensions afterwards.
struct Reduction {
    x: Value,
    like: Value,
    /// The axes longer than 1.
    axes: Vec<Axis>,
}

impl Reduction {
    fn new(importer: &Importer<'_>, node: Node<'_>) -> Result<Self, Problem> {
        node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
        let name = node.input(0).ok_or("input 0 is missing")?;
        let x = importer.values.get(name).ok_or_else(|| format!("input 0 ({name}) is a constant"))?.clone();
        let rank = x.dims.len();
        let given = importer.optional_constant(node, 1)?.map(integers);
        let given = given.or(node.ints("axes")?.map(<[i64]>::to_vec)).unwrap_or_default();
        let axis =
            |a: &i64| usize::try_from(if *a < 0 { a + rank as i64 } else { *a }).ok().filter(|&a| a < rank);
        let mut dims: Vec<usize> =
            given.iter().map(axis).collect::<Option<_>>().ok_or("its axes are out of range")?;
        if given.is_empty() && node.int("noop_with_empty_axes", 0)? == 0 {
            dims = (0..rank).collect();
        }
        let axes = dims.iter().flat_map(|&d| x.dims[d].iter().copied()).collect();
        let keep = node.int("keepdims", 1)? != 0;
        let left = (0..rank).filter(|d| keep || !dims.contains(d)).map(|d| match dims.contains(&d) {
            true => Vec::new(),
            false => x.dims[d].clone(),
        });
        let like = Value { dims: left.collect(), ..x.clone() };
        Ok(Self { x, like, axes })
    }

    /// Returns whether both rows and columns are reduced, unless they have length 1.
    fn all_pixels(&self, shape: Shape) -> bool {
        [(Axis::H, shape.h), (Axis::W, shape.w)].iter().all(|(a, n)| *n == 1 || self.axes.contains(a))
    }
}

/// The mean over any axes.
pub fn mean<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    importer.value(node, 0)?;
    let reduction = Reduction::new(importer, node)?;
    reduce(importer, node, &reduction, 1.0)
}

/// The sum over any axes: a mean times the number of values.
pub fn sum<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    importer.value(node, 0)?;
    let reduction = Reduction::new(importer, node)?;
    let shape = importer.shape(&reduction.x);
    let count: usize = reduction.axes.iter().map(|a| a.size(shape)).product();
    reduce(importer, node, &reduction, count as f32)
}

/// The maximum over all pixels.
pub fn max<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    importer.value(node, 0)?;
    let reduction = Reduction::new(importer, node)?;
    let shape = importer.shape(&reduction.x);
    if reduction.axes.contains(&Axis::C) || !reduction.all_pixels(shape) {
        return Err(format!(
            "over {:?} of {:?}; rows and columns together are supported",
            reduction.axes,
            reduction.x.sizes(shape)
        ));
    }
    max_of_all(importer, node, &reduction.x, &reduction.like)
}

impl<'a> Importer<'a> {
    /// Imports a sum or mean over one dimension of a tensor that is assembled from others, as when values are
    /// stacked and added: each slice is a value, and the slices are added. Returns `false` if the tensor is
    /// already a value.
    pub fn reduce_slices(&mut self, node: Node<'a>) -> Result<bool, Problem> {
        let Some(places) = node.input(0).and_then(|name| self.moved.get(name)).cloned() else {
            return Ok(false);
        };
        if lower(self, node.name(), &places).is_ok() {
            return Ok(false);
        }
        node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
        let given = self.optional_constant(node, 1)?.map(integers);
        let given = given.or(node.ints("axes")?.map(<[i64]>::to_vec)).unwrap_or_default();
        let rank = places.dims.len() as i64;
        let [axis] = given[..] else {
            return Err(format!("over dimensions {given:?} of {:?} is not supported", places.dims));
        };
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(usize::MAX);
        let count = *places.dims.get(axis).ok_or("its axes are out of range")?;
        if !(1..=MOST_SLICES).contains(&count) {
            return Err(format!("over a dimension of {count} of {:?} is not supported", places.dims));
        }
        let keep = node.int("keepdims", 1)? != 0;
        let mut sum: Option<Value> = None;
        for i in 0..count {
            let mut along = places.everything();
            along[axis] = vec![Some(i)];
            let mut slice = places.picked(&along, 0)?;
            if !keep {
                slice.dims.remove(axis);
            }
            let value = moves::settled(self, node.name(), &slice)?;
            let shape = self.shape(&value);
            sum = Some(match sum {
                None => value,
                Some(sum) if sum.dims == value.dims && self.shape(&sum) == shape => {
                    let id = self.push(node.name(), Op::Add, vec![sum.node, value.node], shape);
                    Value { node: id, ..value }
                }
                Some(_) => return Err(format!("slices of {:?} differ in their order", places.dims)),
            });
        }
        let sum = sum.ok_or("it has no slices")?;
        if node.proto.op_type == "ReduceSum" {
            return self.bind(node, sum).map(|()| true);
        }
        let shape = self.shape(&sum);
        let op = Op::Affine { gain: vec![1.0 / count as f32; shape.c], offset: vec![0.0; shape.c] };
        self.define(node, op, vec![sum.node], shape, &sum).map(|()| true)
    }
}

/// The largest number of slices that are added one by one.
const MOST_SLICES: usize = 16;

/// Adds the mean over the axes, times a factor.
fn reduce<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    reduction: &Reduction,
    mut factor: f32,
) -> Result<(), Problem> {
    let Reduction { x, like, axes } = reduction;
    let mut from = x.node;
    let shape = importer.shape(x);
    let mut half = None;
    let (rows, columns) = (axes.contains(&Axis::H), axes.contains(&Axis::W));
    if rows || columns {
        if let Some(half) = importer.halves.get(&from).filter(|_| rows != columns) {
            // This is the other half of a mean over everything.
            factor *= half.factor;
            from = half.of;
        }
        let shape = importer.nodes[from].shape;
        if reduction.all_pixels(importer.shape(x)) {
            let op = Op::GlobalAvgPool;
            if (factor - 1.0).abs() < 1e-6 && !axes.contains(&Axis::C) {
                return importer.define(node, op, vec![from], Shape::new(1, 1, shape.c), like);
            }
            from = importer.push(node.name(), op, vec![from], Shape::new(1, 1, shape.c));
        } else {
            let axis = if rows { Axis::H } else { Axis::W };
            let of = from;
            from = along(importer, node, from, axis)?;
            half = Some(of);
        }
    }
    if axes.contains(&Axis::C) {
        let c = shape.c;
        let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
        from = importer.convolved(
            node.name(),
            from,
            vec![factor / c as f32; c],
            vec![0.0],
            window,
            [1, 1],
            1,
        )?;
        factor = 1.0;
    }
    let shape = importer.nodes[from].shape;
    if let Some(of) = half.filter(|_| !axes.contains(&Axis::C)) {
        let id = if (factor - 1.0).abs() < 1e-6 { from } else { importer.nodes.len() };
        importer.halves.insert(id, Half { of, factor });
    }
    if (factor - 1.0).abs() < 1e-6 {
        let mut value = Value { node: from, ..like.clone() };
        value.forget_short(shape);
        return importer.bind(node, value);
    }
    let op = Op::Affine { gain: vec![factor; shape.c], offset: vec![0.0; shape.c] };
    importer.define(node, op, vec![from], shape, like)
}

/// Adds a mean along rows or columns as depthwise convolutions.
fn along<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    mut from: NodeId,
    axis: Axis,
) -> Result<NodeId, Problem> {
    loop {
        let shape = importer.nodes[from].shape;
        let side = axis.size(shape);
        if side == 1 {
            return Ok(from);
        }
        let Some(k) = (2..=side.min(MAX_KERNEL)).rev().find(|&k| side.is_multiple_of(k)) else {
            return Err(format!("a mean of {side} rows or columns is not supported"));
        };
        let kernel = if axis == Axis::H { [k, 1] } else { [1, k] };
        let window = Window { kernel, stride: kernel, pad: [0; 4] };
        let (weights, bias) = (vec![1.0 / k as f32; k * shape.c], vec![0.0; shape.c]);
        from = importer.convolved(node.name(), from, weights, bias, window, [1, 1], shape.c)?;
    }
}
