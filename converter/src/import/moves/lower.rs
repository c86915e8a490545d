//! Converts places to nodes of the graph: convolutions that pick, pads, and additions of parts that do not
//! overlap.
//!
//! ```text
//! out[row][column][channel] = in[rows[row]][columns[column]][channels[channel]], or a constant
//! ```
//! for each node from which numbers come; anything else is refused.

use std::collections::HashMap;

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::super::Importer;
use super::super::node::Problem;
use super::super::value::{Axis, Value};
use super::selection::Run;
use super::{Origin, Places};
use crate::graph::{NodeId, Op, Window};

/// The largest number of parts of rows or columns.
const MOST_RUNS: usize = 40;

/// The largest number of weights of a convolution that picks.
const MOST_WEIGHTS: usize = 1 << 24;

/// Channels of one node whose rows and columns move in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Map {
    node: NodeId,
    /// The sources of rows and columns.
    along: [Vec<Option<usize>>; 2],
}

/// The places as an image: the axis of each dimension, and the numbers by channel.
struct Picture {
    shape: Shape,
    dims: Vec<Vec<Axis>>,
    /// The places channel by channel, by rows and columns.
    planes: Places,
}

/// Creates a value from places that are not a value yet.
pub fn lower(importer: &mut Importer<'_>, name: &str, places: &Places) -> Result<Value, Problem> {
    let picture = picture(importer, places)?;
    let Shape { h, w, c } = picture.shape;
    picture.shape.validate().map_err(|e| format!("{name} would be {}: {e}", picture.shape))?;
    let mut maps: Vec<(Map, Vec<Option<usize>>)> = Vec::new();
    let mut number: HashMap<Map, usize> = HashMap::new();
    let (mut constant, mut around) = (vec![0.0; c], vec![0.0; c]);
    for (channel, plane) in picture.planes.items.chunks_exact(h * w).enumerate() {
        let plane: Vec<Origin> = plane.iter().map(|&p| importer.numbering.origin(p)).collect();
        let (parts, fill) = parts(importer, &plane, w).ok_or_else(|| {
            format!("{name}: its pixels are neither whole rows and columns of others nor a constant")
        })?;
        if parts.is_empty() {
            constant[channel] = fill
        } else {
            around[channel] = fill
        }
        for (map, from) in parts {
            let n = *number.entry(map.clone()).or_insert_with(|| {
                maps.push((map, vec![None; c]));
                maps.len() - 1
            });
            maps[n].1[channel] = Some(from);
        }
    }
    // Padding inserts zeros, so channels are shifted such that zero represents the padding value.
    let padded = maps.iter().any(|(map, _)| map.along.iter().flatten().any(Option::is_none));
    let mut sum: Option<NodeId> = None;
    for (source, maps) in alike(&maps) {
        let owned = |c: usize| maps.iter().any(|(_, from)| from[c].is_some());
        let bias = (0..c).map(|c| match (padded, sum) {
            (true, _) if owned(c) => 0.0 - around[c],
            (false, None) => constant[c],
            _ => 0.0,
        });
        let part = importer.part(name, source, &maps, bias.collect())?;
        sum = Some(match sum {
            None => part,
            Some(sum) => importer.push(name, Op::Add, vec![sum, part], picture.shape),
        });
    }
    let mut node = sum.ok_or_else(|| format!("{name} does not depend on the image"))?;
    let offset: Vec<f32> = around.iter().zip(&constant).map(|(a, k)| a + k).collect();
    if padded && offset.iter().any(|v| *v != 0.0) {
        node = importer.push(name, Op::Affine { gain: vec![1.0; c], offset }, vec![node], picture.shape);
    }
    Ok(Value { node, dims: picture.dims, finished: false, integer: false })
}

type Part = (Map, Vec<Option<usize>>);

/// Groups maps of one node that differ only in their start: one convolution picks them all.
fn alike(maps: &[Part]) -> Vec<(NodeId, Vec<Part>)> {
    let mut groups: Vec<(NodeId, Vec<Part>)> = Vec::new();
    for part in maps {
        let runs = |p: &Part| p.0.along.clone().map(|a| Run::all(&a));
        let mine = runs(part);
        let joins = |(node, others): &&mut (NodeId, Vec<Part>)| {
            *node == part.0.node && {
                let theirs = runs(&others[0]);
                (0..2).all(|a| match (&mine[a][..], &theirs[a][..]) {
                    ([m], [t]) => {
                        let whole = part.0.along[a].len();
                        (m.at, m.count, m.step) == (t.at, t.count, t.step)
                            && m.count == whole
                            && m.from.max(t.from) < MAX_KERNEL
                    }
                    _ => false,
                })
            }
        };
        match groups.iter_mut().find(joins) {
            Some((_, parts)) => parts.push(part.clone()),
            None => groups.push((part.0.node, vec![part.clone()])),
        }
    }
    groups
}

impl Importer<'_> {
    /// Returns the channels that come from one node, with zeros elsewhere. `bias` is added to them before padding.
    fn part(&mut self, name: &str, node: NodeId, maps: &[Part], bias: Vec<f32>) -> Result<NodeId, Problem> {
        if let [(map, from)] = maps {
            return self.moved_alike(name, map, from, bias);
        }
        let runs: Vec<[Run; 2]> =
            maps.iter().map(|(m, _)| m.along.clone().map(|a| Run::all(&a)[0])).collect();
        let input = self.nodes[node].shape;
        let kernel = [0, 1].map(|a| runs.iter().map(|r| r[a].from).max().unwrap_or(0) + 1);
        if bias.len().saturating_mul(kernel[0] * kernel[1] * input.c) > MOST_WEIGHTS {
            return Err(format!("{name}: picking {} numbers out of {input} is too large", bias.len()));
        }
        let mut weights = vec![0.0; bias.len() * kernel[0] * kernel[1] * input.c];
        for ((_, from), run) in maps.iter().zip(&runs) {
            for (channel, c) in from.iter().enumerate().filter_map(|(o, c)| Some((o, (*c)?))) {
                let tap = (channel * kernel[0] + run[0].from) * kernel[1] + run[1].from;
                weights[tap * input.c + c] = 1.0;
            }
        }
        let window = Window { kernel, stride: [runs[0][0].step, runs[0][1].step], pad: [0; 4] };
        let fits = window.output([input.h, input.w], [1, 1]) == Some([runs[0][0].count, runs[0][1].count]);
        if fits {
            return self.convolved(name, node, weights, bias, window, [1, 1], 1);
        }
        let mut sum: Option<NodeId> = None;
        for (map, from) in maps {
            let bias = if sum.is_none() { bias.clone() } else { vec![0.0; bias.len()] };
            let part = self.moved_alike(name, map, from, bias)?;
            let shape = self.nodes[part].shape;
            sum = Some(match sum {
                None => part,
                Some(sum) => self.push(name, Op::Add, vec![sum, part], shape),
            });
        }
        sum.ok_or_else(|| format!("{name} has no channels"))
    }

    /// Returns the channels of one node whose rows and columns move in the same way.
    fn moved_alike(
        &mut self,
        name: &str,
        map: &Map,
        from: &[Option<usize>],
        bias: Vec<f32>,
    ) -> Result<NodeId, Problem> {
        let runs = map.along.clone().map(|a| Run::all(&a));
        if runs.iter().any(|r| r.len() > MOST_RUNS) {
            return Err(format!("{name}: its rows or columns are moved one by one, which is not supported"));
        }
        let sides = [map.along[0].len(), map.along[1].len()];
        let channels = self.nodes[map.node].shape.c;
        let same = from.iter().copied().eq((0..channels).map(Some)) && bias.iter().all(|b| *b == 0.0);
        if let ([rows], [columns]) = (&runs[0][..], &runs[1][..]) {
            let picked = self.cropped(name, map.node, [*rows, *columns])?;
            let picked = if same { picked } else { self.reordered(name, picked, from, bias)? };
            return self.padded_to(name, picked, [*rows, *columns], sides);
        }
        let mut node = if same { map.node } else { self.reordered(name, map.node, from, bias)? };
        for (a, runs) in runs.iter().enumerate() {
            let mut sum: Option<NodeId> = None;
            for &run in runs {
                let Shape { h, w, .. } = self.nodes[node].shape;
                let mut both = [h, w].map(Run::whole);
                let mut target = [h, w];
                (both[a], target[a]) = (run, sides[a]);
                let picked = self.cropped(name, node, both)?;
                let part = self.padded_to(name, picked, both, target)?;
                let shape = self.nodes[part].shape;
                sum = Some(match sum {
                    None => part,
                    Some(sum) => self.push(name, Op::Add, vec![sum, part], shape),
                });
            }
            node = sum.ok_or_else(|| format!("{name} has no rows or columns"))?;
        }
        Ok(node)
    }

    /// Pads the picked pixels with zeros.
    pub fn padded_to(
        &mut self,
        name: &str,
        node: NodeId,
        runs: [Run; 2],
        sides: [usize; 2],
    ) -> Result<NodeId, Problem> {
        let [top, left] = runs.map(|r| r.at);
        let [bottom, right] = [0, 1].map(|a| sides[a] - runs[a].at - runs[a].count);
        if [top, left, bottom, right] == [0; 4] {
            return Ok(node);
        }
        let shape = Shape::new(sides[0], sides[1], self.nodes[node].shape.c);
        shape.validate().map_err(|e| format!("{name} would be {shape}: {e}"))?;
        Ok(self.push(name, Op::Pad([top, left, bottom, right]), vec![node], shape))
    }
}

/// Returns the sources of the pixels of one channel: per node the rows and columns and the channel, and the one
/// constant of all other pixels.
fn parts(importer: &Importer<'_>, plane: &[Origin], width: usize) -> Option<(Vec<(Map, usize)>, f32)> {
    let height = plane.len() / width;
    let mut parts: Vec<(Map, usize)> = Vec::new();
    let mut fill: Option<f32> = None;
    let mut covered = 0;
    for (i, origin) in plane.iter().enumerate() {
        match *origin {
            Origin::Constant(value) => match fill {
                Some(fill) if fill.to_bits() != value.to_bits() => return None,
                _ => fill = Some(value),
            },
            Origin::Node(node, flat) => {
                covered += 1;
                let shape = importer.nodes[node].shape;
                let (c, w, h) = (flat % shape.c, flat / shape.c % shape.w, flat / shape.c / shape.w);
                let found = parts.iter_mut().find(|(map, from)| map.node == node && *from == c);
                let (map, _) = match found {
                    Some(part) => part,
                    None => {
                        let along = [vec![None; height], vec![None; width]];
                        parts.push((Map { node, along }, c));
                        parts.last_mut()?
                    }
                };
                let (row, column) = (&mut map.along[0][i / width], h);
                if *row.get_or_insert(column) != h || *map.along[1][i % width].get_or_insert(w) != w {
                    return None;
                }
            }
        }
    }
    // Rows and columns of all parts must cover exactly the pixels that are not constants.
    let area =
        |(map, _): &(Map, usize)| map.along.iter().map(|a| a.iter().flatten().count()).product::<usize>();
    let exact = parts.iter().map(area).sum::<usize>() == covered;
    exact.then_some((parts, fill.unwrap_or(0.0)))
}

/// Determines the axis of each dimension and sorts the places by channel, row and column.
fn picture(importer: &Importer<'_>, places: &Places) -> Result<Picture, Problem> {
    picture_of(importer, places, true).or_else(|_| picture_of(importer, places, false))
}

/// See [`picture`]. A dimension that runs over several axes is split or, without `parting`, treated as a remaining
/// dimension and examined number by number.
fn picture_of(importer: &Importer<'_>, places: &Places, parting: bool) -> Result<Picture, Problem> {
    let unclear = || format!("dimensions {:?} are neither channels, rows nor columns", places.dims);
    if places.items.is_empty() {
        return Err("it has no values".into());
    }
    let mut fine: Vec<(usize, usize, Option<Axis>)> = Vec::new();
    for d in 0..places.dims.len() {
        let behind: usize = places.dims[d + 1..].iter().product();
        let n = places.dims[d];
        let parted = match parting {
            true => part_dimension(importer, places, n, behind).ok_or_else(unclear)?,
            false if n == 1 => Vec::new(),
            false => vec![(n, varies(importer, places, n, behind).flatten())],
        };
        fine.extend(parted.into_iter().map(|(n, role)| (d, n, role)));
    }
    // A dimension that does not vary, or varies only from node to node, is a remaining one.
    let mut left: Vec<Axis> = [Axis::C, Axis::H, Axis::W]
        .into_iter()
        .filter(|a| fine.iter().all(|(_, _, role)| *role != Some(*a)))
        .collect();
    for (_, _, role) in fine.iter_mut().filter(|(_, _, role)| role.is_none()) {
        if left.is_empty() {
            return Err(unclear());
        }
        *role = Some(left.remove(0));
    }
    let fine: Vec<(usize, usize, Axis)> =
        fine.into_iter().filter_map(|(d, n, role)| Some((d, n, role?))).collect();
    let mut dims: Vec<Vec<Axis>> = vec![Vec::new(); places.dims.len()];
    let mut lengths = [1usize; 3];
    let mut order: [Vec<usize>; 3] = Default::default();
    for (i, &(d, n, axis)) in fine.iter().enumerate() {
        let place = [Axis::C, Axis::H, Axis::W].iter().position(|a| *a == axis).ok_or_else(unclear)?;
        // The pieces of an axis can be joined only if they follow one another.
        if let Some(&before) = order[place].last()
            && (before + 1 != i || fine[before].0 != d)
        {
            return Err(unclear());
        }
        if dims[d].last() != Some(&axis) {
            dims[d].push(axis);
        }
        lengths[place] *= n;
        order[place].push(i);
    }
    let [c, h, w] = lengths;
    let items = Places { dims: fine.iter().map(|f| f.1).collect(), items: places.items.clone() };
    let planes = items.transposed(&order.concat())?.regrouped(vec![c, h, w])?;
    Ok(Picture { shape: Shape::new(h, w, c), dims, planes })
}

/// Splits a dimension of `n`, with `behind` numbers per step, until each part runs over one axis. Parts of length
/// 1 are left out.
fn part_dimension(
    importer: &Importer<'_>,
    places: &Places,
    n: usize,
    behind: usize,
) -> Option<Vec<(usize, Option<Axis>)>> {
    if n == 1 {
        return Some(Vec::new());
    }
    if let Some(role) = varies(importer, places, n, behind) {
        return Some(vec![(n, role)]);
    }
    let inner = (2..n).rev().filter(|m| n.is_multiple_of(*m));
    inner.into_iter().find_map(|m| {
        let role = varies(importer, places, m, behind)?;
        let mut parts = part_dimension(importer, places, n / m, behind * m)?;
        parts.push((m, role));
        Some(parts)
    })
}

/// Returns the axis of nodes along which places vary in steps of `behind`, `n` of them in a row. Returns no axis
/// if only the node varies, and `None` if several axes vary.
fn varies(importer: &Importer<'_>, places: &Places, n: usize, behind: usize) -> Option<Option<Axis>> {
    let mut found = [false; 3];
    for block in places.items.chunks_exact(n * behind) {
        for (a, b) in block.iter().zip(&block[behind..]) {
            let (a, b) = (importer.numbering.origin(*a), importer.numbering.origin(*b));
            let (Origin::Node(node, x), Origin::Node(other, y)) = (a, b) else { continue };
            let at = |node: NodeId, flat: usize| {
                let shape = importer.nodes[node].shape;
                [flat % shape.c, flat / shape.c / shape.w, flat / shape.c % shape.w]
            };
            let (x, y) = (at(node, x), at(other, y));
            if node != other {
                // Along rows or columns that another node continues, the index starts again.
                found[0] |= x[0] != y[0] && x[1..] == y[1..];
                continue;
            }
            (0..3).for_each(|i| found[i] |= x[i] != y[i]);
        }
    }
    match found {
        [false, false, false] => Some(None),
        [true, false, false] => Some(Some(Axis::C)),
        [false, true, false] => Some(Some(Axis::H)),
        [false, false, true] => Some(Some(Axis::W)),
        _ => None,
    }
}
