//! Arrays of places: the origin of each number of a tensor.

use super::super::node::Problem;

/// The largest number of places in an array. A file of a kilobyte can ask for a terabyte.
pub const MOST_PLACES: usize = 1 << 25;

/// The place of a number that is zero and has no origin.
pub const ZERO: i64 = 0;

/// The place of each number of a tensor. The code that numbers the places defines their meaning; only [`ZERO`] has
/// a fixed one.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// The lengths of the dimensions.
    pub dims: Vec<usize>,
    /// The places in the order of the dimensions, the last one fastest.
    pub items: Vec<i64>,
}

impl Places {
    /// Creates consecutive places from `first` on.
    pub fn counted(dims: &[usize], first: i64) -> Self {
        let volume: usize = dims.iter().product();
        Self { dims: dims.to_vec(), items: (first..first + volume as i64).collect() }
    }

    /// Calls a function for every place of an array with these dimensions.
    pub fn build(
        dims: Vec<usize>,
        mut place: impl FnMut(&[usize]) -> Result<i64, Problem>,
    ) -> Result<Self, Problem> {
        let volume = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let volume = volume
            .filter(|&n| n <= MOST_PLACES)
            .ok_or_else(|| format!("its output of {dims:?} is too large"))?;
        let mut at = vec![0; dims.len()];
        let mut items = Vec::with_capacity(volume);
        for _ in 0..volume {
            items.push(place(&at)?);
            for d in (0..dims.len()).rev() {
                at[d] += 1;
                if at[d] < dims[d] {
                    break;
                }
                at[d] = 0;
            }
        }
        Ok(Self { dims, items })
    }

    /// Returns the place at these coordinates, which must be inside.
    pub fn at(&self, coordinates: &[usize]) -> i64 {
        let flat = coordinates.iter().zip(&self.dims).fold(0, |flat, (&i, &d)| flat * d + i);
        self.items[flat]
    }

    /// Changes the dimensions to others of the same volume.
    pub fn regrouped(self, dims: Vec<usize>) -> Result<Self, Problem> {
        let volume = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        match volume {
            Some(n) if n == self.items.len() => Ok(Self { dims, ..self }),
            _ => Err(format!("from {:?} to {dims:?}", self.dims)),
        }
    }

    /// Reorders the dimensions.
    pub fn transposed(&self, order: &[usize]) -> Result<Self, Problem> {
        let dims = order.iter().map(|&d| self.dims[d]).collect();
        let mut from = vec![0; order.len()];
        Self::build(dims, |at| {
            order.iter().zip(at).for_each(|(&d, &i)| from[d] = i);
            Ok(self.at(&from))
        })
    }

    /// Assembles an array from this one, given its dimensions and the sources along each: output coordinate `i`
    /// along dimension `d` comes from `along[d][i]`; `None` is a zero.
    pub fn picked(&self, along: &[Vec<Option<usize>>], fill: i64) -> Result<Self, Problem> {
        let dims = along.iter().map(Vec::len).collect();
        let mut from = vec![0; along.len()];
        Self::build(dims, |at| {
            for (d, &i) in at.iter().enumerate() {
                match along[d][i] {
                    Some(source) => from[d] = source,
                    None => return Ok(fill),
                }
            }
            Ok(self.at(&from))
        })
    }

    /// Returns every coordinate of each dimension, for [`Places::picked`].
    pub fn everything(&self) -> Vec<Vec<Option<usize>>> {
        self.dims.iter().map(|&n| (0..n).map(Some).collect()).collect()
    }
}

/// Returns the dimensions that arrays of these dimensions broadcast to.
pub fn broadcast(all: &[&[usize]]) -> Result<Vec<usize>, Problem> {
    let rank = all.iter().map(|d| d.len()).max().unwrap_or(0);
    let mut dims = vec![1; rank];
    for one in all {
        for (into, &n) in dims[rank - one.len()..].iter_mut().zip(*one) {
            match (*into, n) {
                (_, 1) => {}
                (1, n) => *into = n,
                (a, b) if a == b => {}
                _ => return Err(format!("dimensions {all:?} do not broadcast to one another")),
            }
        }
    }
    Ok(dims)
}

/// Broadcasts an array to these dimensions.
pub fn spread(places: &Places, dims: &[usize]) -> Result<Places, Problem> {
    let lead = dims.len() - places.dims.len();
    let mut from = vec![0; places.dims.len()];
    Places::build(dims.to_vec(), |at| {
        for (d, i) in from.iter_mut().enumerate() {
            *i = if places.dims[d] == 1 { 0 } else { at[lead + d] };
        }
        Ok(places.at(&from))
    })
}
