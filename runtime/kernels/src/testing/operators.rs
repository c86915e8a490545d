//! Tests of all operators except convolution.

use alloc::vec::Vec;
use alloc::{format, vec};

use super::inputs::{Aligned, Rng};
use super::same;
use crate::op;
use crate::quant::Requant;
use crate::reference;
use crate::set::KernelSet;
use crate::shape::{PoolDesc, Shape};
use crate::{AddScalars, AvgPoolScalars, MAX_TERMS, ScaleScalars, SumTerm};

/// Tests the windows of every ResNet, and unusual ones.
pub fn max_pool(set: &dyn KernelSet) {
    let mut rng = Rng(3);
    for (h, w, c, k, s, p) in [
        (8, 8, 64, 3, 2, 1),
        (7, 9, 5, 3, 2, 1),
        (8, 8, 17, 2, 2, 0),
        (5, 5, 33, 3, 1, 1),
        (6, 7, 3, 5, 3, 2),
        (1, 1, 16, 1, 1, 0),
        (8, 6, 100, 1, 2, 0),
        (112, 20, 8, 3, 2, 0),
        (16, 31, 24, 3, 2, 1),
    ] {
        let out = |n: usize| (n + 2 * p - k) / s + 1;
        let d = PoolDesc {
            x: Shape::new(h, w, c),
            y: Shape::new(out(h), out(w), c),
            kernel: [k, k],
            stride: [s, s],
            pad: [p, p],
            pad_value: if rng.bits().is_multiple_of(2) { i8::MIN } else { rng.range(-128, 127) as i8 },
        };
        d.validate().unwrap();
        let values = rng.int8s(d.x.len(), -128);
        let mut expected = vec![0; d.y.len()];
        reference::max_pool(&d, 0..d.y.h, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(d.x), 0xee);
        set.write_tensor(d.x, &values, x.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(d.y), 0xee);
        let half = d.y.h / 2;
        for rows in [half..d.y.h, 0..half] {
            // SAFETY: validated, buffers of the sizes that the set requested.
            unsafe { set.max_pool(&d, x.get().as_ptr(), y.get_mut().as_mut_ptr(), rows) };
        }
        same(&expected, &set.read_tensor(d.y, y.get()), d.y, &format!("{} {d:?}", set.name()));
    }
}

/// Tests the sizes of the last layer.
pub fn avg_pool(set: &dyn KernelSet) {
    let mut rng = Rng(4);
    for (h, w, c) in [(7, 7, 2048), (8, 8, 64), (4, 4, 64), (1, 1, 3), (3, 5, 17), (56, 56, 33), (2, 1, 100)]
    {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let scalars = AvgPoolScalars {
            x_zero: rng.range(-128, 127) as i8,
            multiplier: 1.3 / shape.pixels() as f32,
            y: Requant::full(rng.range(-128, 127) as i8),
        };
        let mut expected = vec![0; c];
        reference::avg_pool(shape, &scalars, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let out = Shape::new(1, 1, c);
        let mut y = Aligned::new(set.tensor_bytes(out), 0xee);
        // SAFETY: buffers of the sizes that the set requested.
        unsafe { set.avg_pool(shape, &scalars, x.get().as_ptr(), y.get_mut().as_mut_ptr()) };
        same(&expected, &set.read_tensor(out, y.get()), out, &format!("{} {shape}", set.name()));
    }
}

/// Tests channel counts around vector widths.
pub fn affine(set: &dyn KernelSet) {
    let mut rng = Rng(5);
    for (h, w, c) in [(3, 3, 1), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 256), (1, 1, 1000)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let (gain, offset) = (rng.f32s(c, 2.0), rng.f32s(c, 100.0));
        let (zero, out) = (rng.range(-128, 127) as i8, Requant::relu(rng.range(-128, 0) as i8));
        let mut expected = vec![0; shape.len()];
        reference::affine(zero, out, &gain, &offset, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(shape), 0xee);
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set requested.
            unsafe {
                set.affine(
                    shape,
                    zero,
                    out,
                    &gain,
                    &offset,
                    x.get().as_ptr(),
                    y.get_mut().as_mut_ptr(),
                    rows,
                );
            }
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Tests additions, also with the first summand as the output's buffer.
pub fn add(set: &dyn KernelSet) {
    let mut rng = Rng(6);
    for (h, w, c) in [(3, 3, 1), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 256)] {
        let shape = Shape::new(h, w, c);
        let (av, bv) = (rng.int8s(shape.len(), -128), rng.int8s(shape.len(), -128));
        let scalars = AddScalars {
            a_zero: rng.range(-128, 127) as i8,
            a_multiplier: 0.7,
            b_zero: rng.range(-128, 127) as i8,
            b_multiplier: 0.43,
            y: Requant::full(rng.range(-128, 127) as i8),
        };
        let mut expected = vec![0; shape.len()];
        reference::add(&scalars, &av, &bv, &mut expected);
        let mut a = Aligned::new(set.tensor_bytes(shape), 0xee);
        let mut b = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &av, a.get_mut());
        set.write_tensor(shape, &bv, b.get_mut());
        let y = a.get_mut().as_mut_ptr();
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set requested; `a` is `y`, as the contract allows.
            unsafe { set.add(shape, &scalars, y, b.get().as_ptr(), y, rows) };
        }
        same(&expected, &set.read_tensor(shape, a.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Tests a table in two pieces of the buffers, as threads process them.
pub fn table(set: &dyn KernelSet) {
    let mut rng = Rng(7);
    for (h, w, c) in [(1, 1, 1), (3, 3, 5), (4, 5, 16), (5, 4, 17), (2, 7, 63)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let table: [i8; 256] = rng.int8s(256, -128).try_into().expect("256 values");
        let mut expected = vec![0; shape.len()];
        reference::table(&table, &values, &mut expected);
        let bytes = set.tensor_bytes(shape);
        let mut x = Aligned::new(bytes, 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = Aligned::new(bytes, 0xee);
        for piece in [bytes / 2..bytes, 0..bytes / 2] {
            // SAFETY: buffers of the sizes that the set requested.
            unsafe { set.table(&table, x.get().as_ptr(), y.get_mut().as_mut_ptr(), piece) };
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Tests a table per channel, in two pieces of the rows; channel counts are around vector widths.
pub fn channel_table(set: &dyn KernelSet) {
    let mut rng = Rng(11);
    for (h, w, c) in [(1, 1, 1), (3, 3, 5), (4, 5, 16), (5, 4, 17), (2, 7, 63), (3, 2, 130)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let tables = rng.int8s(256 * c, -128).as_chunks().0.to_vec();
        let mut expected = vec![0; shape.len()];
        op::channel_table::channel_table(&tables, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(shape), 0xee);
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set requested, and a table for each channel.
            unsafe {
                set.channel_table(shape, &tables, x.get().as_ptr(), y.get_mut().as_mut_ptr(), rows);
            }
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Tests gates over their whole range, with channel counts around vector widths.
pub fn scale(set: &dyn KernelSet) {
    let mut rng = Rng(8);
    for (h, w, c) in [(3, 3, 1), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 256), (1, 1, 1000)] {
        let shape = Shape::new(h, w, c);
        let (values, gates) = (rng.int8s(shape.len(), -128), rng.int8s(c, -128));
        let scalars = ScaleScalars {
            x_zero: rng.range(-128, 127) as i8,
            gate_zero: rng.range(-128, 127) as i8,
            multiplier: 0.0043,
            y: Requant::full(rng.range(-128, 127) as i8),
        };
        let mut expected = vec![0; shape.len()];
        reference::scale(&scalars, &values, &gates, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let one = Shape::new(1, 1, c);
        let mut gate = Aligned::new(set.tensor_bytes(one), 0xee);
        set.write_tensor(one, &gates, gate.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(shape), 0xee);
        let mut scratch = Aligned::new(8 * c, 0xee);
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set requested, scratch as stated.
            unsafe {
                set.scale(
                    shape,
                    &scalars,
                    x.get().as_ptr(),
                    gate.get().as_ptr(),
                    y.get_mut().as_mut_ptr(),
                    scratch.get_mut().as_mut_ptr(),
                    rows,
                );
            }
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Tests sums of one term up to the maximum, in two pieces of the buffers; zeros are not whole numbers.
pub fn sum(set: &dyn KernelSet) {
    let mut rng = Rng(10);
    for (n, (h, w, c)) in
        [(1, 1, 1), (3, 3, 5), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 64)].into_iter().enumerate()
    {
        let shape = Shape::new(h, w, c);
        let values: Vec<Vec<i8>> = (0..=n % MAX_TERMS).map(|_| rng.int8s(shape.len(), -128)).collect();
        let terms: Vec<SumTerm> = (0..values.len())
            .map(|k| SumTerm {
                zero: rng.range(-128, 127) as f32 + 0.37,
                multiplier: [0.71, -256.0, 1.0 / 256.0, 1.03, 0.004, 256.0][k],
            })
            .collect();
        let out = Requant::relu(rng.range(-128, 0) as i8);
        let mut expected = vec![0; shape.len()];
        let slices: Vec<&[i8]> = values.iter().map(Vec::as_slice).collect();
        reference::sum(&terms, out, &slices, &mut expected);
        let bytes = set.tensor_bytes(shape);
        let buffers: Vec<Aligned> = values
            .iter()
            .map(|values| {
                let mut x = Aligned::new(bytes, 0xee);
                set.write_tensor(shape, values, x.get_mut());
                x
            })
            .collect();
        let x: Vec<*const u8> = buffers.iter().map(|b| b.get().as_ptr()).collect();
        let mut y = Aligned::new(bytes, 0xee);
        for piece in [bytes / 2..bytes, 0..bytes / 2] {
            // SAFETY: buffers of the sizes that the set requested.
            unsafe { set.sum(&terms, out, &x, y.get_mut().as_mut_ptr(), piece) };
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Tests every bit of the floats.
pub fn dequantize(set: &dyn KernelSet) {
    let mut rng = Rng(9);
    for (h, w, c) in [(1, 1, 1), (1, 1, 1000), (3, 3, 17), (7, 7, 64)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let zero = rng.range(-128, 127) as i8;
        let mut expected = vec![0.0; shape.len()];
        reference::dequantize(zero, 0.0317, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = vec![f32::NAN; shape.len()];
        // SAFETY: buffers of the sizes that the set requested.
        unsafe { set.dequantize(shape, zero, 0.0317, x.get().as_ptr(), y.as_mut_ptr()) };
        assert_eq!(expected, y, "{} {shape}", set.name());
    }
}
