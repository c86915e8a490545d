//! Assigns arena offsets to activations, greedily by size.
//!
//! The largest buffer is placed first. Each buffer gets the lowest offset at which it overlaps no buffer that is
//! alive at the same time. (Pisarchyk and Lee, *Efficient Memory Management for Deep Neural Net Inference*, 2020,
//! "greedy by size for offset calculation".)

use alloc::vec::Vec;

use foldnet_kernels::ALIGN;

/// A buffer's size and its lifetime: from the step that writes it to the last step that reads it, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The size in bytes.
    pub bytes: usize,
    /// The step that writes the buffer.
    pub first: usize,
    /// The last step that reads the buffer.
    pub last: usize,
}

/// Returns an offset for every buffer, each a multiple of [`ALIGN`], and the arena's size.
pub fn assign_offsets(buffers: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| (core::cmp::Reverse(buffers[i].bytes), i));
    let mut offsets = alloc::vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for i in order {
        let size = buffers[i].bytes.next_multiple_of(ALIGN);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| buffers[j].first <= buffers[i].last && buffers[i].first <= buffers[j].last)
            .map(|&j| (offsets[j], offsets[j] + buffers[j].bytes.next_multiple_of(ALIGN)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + size <= from {
                break;
            }
            at = at.max(to);
        }
        offsets[i] = at;
        total = total.max(at + size);
        placed.push(i);
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn living_buffers_never_overlap(
            raw in prop::collection::vec((1usize..5000, 0usize..20, 0usize..5), 1..30)
        ) {
            let buffers: Vec<Lifetime> =
                raw.iter().map(|&(bytes, first, n)| Lifetime { bytes, first, last: first + n }).collect();
            let (offsets, total) = assign_offsets(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                prop_assert!(offsets[i] % ALIGN == 0 && offsets[i] + a.bytes <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    prop_assert!(!together || apart);
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let chain: Vec<Lifetime> = [640, 64, 1280, 128]
            .into_iter()
            .enumerate()
            .map(|(i, bytes)| Lifetime { bytes, first: i, last: i + 1 })
            .collect();
        assert_eq!(assign_offsets(&chain).1, 1280 + 128);
    }
}
