//! The order of numbers in arrays that are broadcast to one another.

/// Walks over an array and knows the place in each input that is broadcast to it.
pub struct Walk<'d> {
    dims: &'d [usize],
    at: Vec<usize>,
    /// Of each input, its places' distance along each dimension; 0 where it is broadcast.
    strides: Vec<Vec<usize>>,
    places: Vec<usize>,
}

impl<'d> Walk<'d> {
    /// Starts at the first number of an array of the dimensions `dims`, to which inputs of these dimensions are
    /// broadcast.
    pub fn new(inputs: &[&[usize]], dims: &'d [usize]) -> Self {
        let strides = |shape: &&[usize]| {
            let mut strides = vec![0; dims.len()];
            let mut stride = 1;
            for (to, &side) in strides.iter_mut().rev().zip(shape.iter().rev()) {
                *to = if side == 1 { 0 } else { stride };
                stride *= side;
            }
            strides
        };
        let strides = inputs.iter().map(strides).collect();
        Self { dims, at: vec![0; dims.len()], strides, places: vec![0; inputs.len()] }
    }

    /// Returns the place in each input.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// Goes on to the next number.
    pub fn step(&mut self) {
        for d in (0..self.dims.len()).rev() {
            self.at[d] += 1;
            let back = self.at[d] == self.dims[d];
            for (place, strides) in self.places.iter_mut().zip(&self.strides) {
                *place += strides[d];
                *place -= if back { strides[d] * self.dims[d] } else { 0 };
            }
            if !back {
                return;
            }
            self.at[d] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_has_its_own_place() {
        let dims = [2, 3, 2];
        let mut walk = Walk::new(&[&dims, &[2, 1, 2], &[3, 1], &[]], &dims);
        let mut places = Vec::new();
        for _ in 0..12 {
            places.push(walk.places().to_vec());
            walk.step();
        }
        let of = |input: usize| places.iter().map(|p| p[input]).collect::<Vec<_>>();
        assert_eq!(of(0), (0..12).collect::<Vec<_>>());
        assert_eq!(of(1), [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]);
        assert_eq!(of(2), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        assert_eq!(of(3), [0; 12]);
    }
}
