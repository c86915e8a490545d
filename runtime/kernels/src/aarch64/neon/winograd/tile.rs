//! The matrix products of Winograd's method: `conv_i16_f4x4_8x8c1_neon`, 8 tiles × 8 output channels in 16 accumulators.

use core::arch::asm;
use core::ops::Range;

use super::{POSITIONS, REACH};
use crate::aarch64::neon::tile::CHANNELS;

/// One tile (its 8 channels in v`$x`, its sums in v`$lo`, v`$hi`) by lane `$k` of the depth, weights v`$w`.
macro_rules! lane {
    ($n:literal, $x:literal, $lo:literal, $hi:literal, $op:literal, $w:literal, $k:literal) => {
        concat!(
            ".if {mr} > ",
            $n,
            "\n",
            $op,
            " v",
            $lo,
            ".4s, v",
            $w,
            ".4h, v",
            $x,
            ".h[",
            $k,
            "]\n",
            $op,
            "2 v",
            $hi,
            ".4s, v",
            $w,
            ".8h, v",
            $x,
            ".h[",
            $k,
            "]\n",
            ".endif\n",
        )
    };
}

/// All tiles by lane `$k` of the depth.
macro_rules! depth {
    ($op:literal, $w:literal, $k:literal) => {
        concat!(
            lane!("0", "0", "16", "17", $op, $w, $k),
            lane!("1", "1", "18", "19", $op, $w, $k),
            lane!("2", "2", "20", "21", $op, $w, $k),
            lane!("3", "3", "22", "23", $op, $w, $k),
            lane!("4", "4", "24", "25", $op, $w, $k),
            lane!("5", "5", "26", "27", $op, $w, $k),
            lane!("6", "6", "28", "29", $op, $w, $k),
            lane!("7", "7", "30", "31", $op, $w, $k),
        )
    };
}

/// Eight channels of depth; the first product by `$first`.
macro_rules! depth8 {
    ($first:literal) => {
        concat!(
            ".if {mr} == 1\n ldr q0, [{v}], #16\n .endif\n",
            ".if {mr} == 2\n ld1 {{v0.16b-v1.16b}}, [{v}], #32\n .endif\n",
            ".if {mr} == 3\n ld1 {{v0.16b-v2.16b}}, [{v}], #48\n .endif\n",
            ".if {mr} > 3\n ld1 {{v0.16b-v3.16b}}, [{v}], #64\n .endif\n",
            "ld1 {{v8.16b-v11.16b}}, [{u}], #64\n",
            ".if {mr} == 5\n ldr q4, [{v}], #16\n .endif\n",
            ".if {mr} == 6\n ld1 {{v4.16b-v5.16b}}, [{v}], #32\n .endif\n",
            ".if {mr} == 7\n ld1 {{v4.16b-v6.16b}}, [{v}], #48\n .endif\n",
            ".if {mr} == 8\n ld1 {{v4.16b-v7.16b}}, [{v}], #64\n .endif\n",
            depth!($first, "8", "0"),
            depth!("smlal", "9", "1"),
            "ld1 {{v12.16b-v15.16b}}, [{u}], #64\n",
            depth!("smlal", "10", "2"),
            depth!("smlal", "11", "3"),
            depth!("smlal", "12", "4"),
            depth!("smlal", "13", "5"),
            depth!("smlal", "14", "6"),
            depth!("smlal", "15", "7"),
        )
    };
}

/// Computes `m[tile][0..8] = Σ_k v[tile][k]·u[k][0..8]` for MR tiles, whose rows of `m` are 36·[`CHANNELS`] int32s
/// apart.
///
/// # Safety
/// `v` has `steps`·MR·8 int16s and `u` `steps`·64, with `steps ≥ 1`; `m` has room for MR rows.
unsafe fn product<const MR: usize>(v: *const i16, u: *const i16, m: *mut i32, steps: usize) {
    // SAFETY: reads and writes exactly what the contract lists; all vector registers are declared.
    unsafe {
        asm!(
            depth8!("smull"),
            "subs {steps}, {steps}, #1",
            "b.eq 3f",
            "2:",
            depth8!("smlal"),
            "subs {steps}, {steps}, #1",
            "b.ne 2b",
            "3:",
            "st1 {{v16.4s-v17.4s}}, [{m}], {next}",
            ".if {mr} > 1\n st1 {{v18.4s-v19.4s}}, [{m}], {next}\n .endif",
            ".if {mr} > 2\n st1 {{v20.4s-v21.4s}}, [{m}], {next}\n .endif",
            ".if {mr} > 3\n st1 {{v22.4s-v23.4s}}, [{m}], {next}\n .endif",
            ".if {mr} > 4\n st1 {{v24.4s-v25.4s}}, [{m}], {next}\n .endif",
            ".if {mr} > 5\n st1 {{v26.4s-v27.4s}}, [{m}], {next}\n .endif",
            ".if {mr} > 6\n st1 {{v28.4s-v29.4s}}, [{m}], {next}\n .endif",
            ".if {mr} > 7\n st1 {{v30.4s-v31.4s}}, [{m}], {next}\n .endif",
            mr = const MR,
            v = inout(reg) v => _,
            u = inout(reg) u => _,
            m = inout(reg) m => _,
            next = in(reg) POSITIONS * CHANNELS * size_of::<i32>(),
            steps = inout(reg) steps => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        );
    }
}

/// A group of tiles at all positions of one class.
pub struct Class {
    /// The positions (i, j).
    pub positions: [Range<usize>; 2],
    /// The group's transformed input at the first of these positions.
    pub v: *const i16,
    /// The distance in int16s from position (i, j) to (i + 1, j), and to (i, j + 1).
    pub v_strides: [usize; 2],
    /// The weights of eight output channels, position (0, 0).
    pub u: *const i16,
    /// The distance in int16s from one position to the next.
    pub u_stride: usize,
    /// The first output channel's sum of the group's first tile, position (0, 0): `[tile][36][CHANNELS]`.
    pub m: *mut i32,
}

/// Computes the products of `tiles` tiles.
///
/// # Safety
/// The same as for [`product`], for each of the class's positions; 1 ≤ `tiles` ≤ 8.
pub unsafe fn products(tiles: usize, class: &Class, steps: usize) {
    /// # Safety
    /// The same as for [`products`].
    #[inline(never)]
    unsafe fn all<const MR: usize>(class: &Class, steps: usize) {
        let [rows, columns] = &class.positions;
        for (i, row) in rows.clone().enumerate() {
            for (j, column) in columns.clone().enumerate() {
                let position = row * REACH + column;
                // SAFETY: guaranteed by the caller.
                unsafe {
                    product::<MR>(
                        class.v.add(i * class.v_strides[0] + j * class.v_strides[1]),
                        class.u.add(position * class.u_stride),
                        class.m.add(position * CHANNELS),
                        steps,
                    );
                }
            }
        }
    }
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tiles {
            1 => all::<1>(class, steps),
            2 => all::<2>(class, steps),
            3 => all::<3>(class, steps),
            4 => all::<4>(class, steps),
            5 => all::<5>(class, steps),
            6 => all::<6>(class, steps),
            7 => all::<7>(class, steps),
            _ => all::<8>(class, steps),
        }
    }
}
