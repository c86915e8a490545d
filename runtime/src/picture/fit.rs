//! A picture as the network's pixels.
//!
//! - A picture that already has the network's size is taken as it is, whatever the rule.
//! - [`Resize::Stretch`]: both sides independently.
//! - [`Resize::Crop`], as torchvision's `Resize(short_side)` and `CenterCrop`: the short side becomes
//!   `short_side`, the long one `⌊short_side·long/short⌋`; then the window whose first row is
//!   `rne((h − H)/2)`, likewise for columns. What the window reaches beyond the picture is black.
//! - Networks with one channel see `(19595·R + 38470·G + 7471·B + 2¹⁵) >> 16`, Pillow's `convert("L")`;
//!   with two or four, an opaque alpha stands behind grey or RGB.

use std::ops::Range;

use foldnet_archive::{Input, Resize};

use super::Picture;
use super::resize::resize_window;

/// The picture as `height × width × channels` bytes.
pub fn fit(picture: &Picture, input: &Input) -> Vec<u8> {
    let rgb = match input.resize {
        _ if (picture.width, picture.height) == (input.width, input.height) => picture.rgb.clone(),
        Resize::Stretch => {
            resize_window(picture, (input.width, input.height), 0..input.width, 0..input.height)
        }
        Resize::Crop { short_side } => crop(picture, short_side, input.width, input.height),
    };
    channels(rgb, input.channels)
}

fn crop(picture: &Picture, short_side: usize, width: usize, height: usize) -> Vec<u8> {
    let size = cropped_size((picture.width, picture.height), short_side);
    let (columns, left) = window(size.0, width);
    let (rows, top) = window(size.1, height);
    let inside = resize_window(picture, size, columns.clone(), rows.clone());
    if columns.len() == width && rows.len() == height {
        return inside;
    }
    let mut framed = vec![0; 3 * width * height];
    for (y, row) in inside.chunks_exact(3 * columns.len()).enumerate() {
        framed[3 * ((top + y) * width + left)..][..row.len()].copy_from_slice(row);
    }
    framed
}

/// The size that a picture is brought to before the window is cut out.
pub fn cropped_size((w, h): (usize, usize), short_side: usize) -> (usize, usize) {
    let long = |long: usize, short: usize| short_side * long / short;
    if w <= h { (short_side, long(h, w)) } else { (long(w, h), short_side) }
}

/// The part of `0..have` that a centred window of length `want` shows, and where it stands in it.
pub fn window(have: usize, want: usize) -> (Range<usize>, usize) {
    if have < want {
        return (0..have, (want - have) / 2);
    }
    // Half of an odd number is rounded to even.
    let spare = have - want;
    let start = spare / 2 + usize::from(spare % 4 == 3);
    (start..start + want, 0)
}

/// RGB as so many channels.
pub fn channels(rgb: Vec<u8>, channels: usize) -> Vec<u8> {
    let luma = |p: &[u8]| {
        let weighted = 19_595 * u32::from(p[0]) + 38_470 * u32::from(p[1]) + 7_471 * u32::from(p[2]);
        ((weighted + (1 << 15)) >> 16) as u8
    };
    let pixels = rgb.chunks_exact(3);
    match channels {
        3 => rgb,
        1 => pixels.map(luma).collect(),
        2 => pixels.flat_map(|p| [luma(p), 255]).collect(),
        _ => pixels.flat_map(|p| [p[0], p[1], p[2], 255]).collect(),
    }
}
