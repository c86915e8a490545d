//! Converts an image to the network's pixels.
//!
//! - An image that already has the network's size is used unchanged, whatever the rule.
//! - [`Resize::Stretch`] resizes both sides independently. [`Resize::Bilinear`] does so without antialiasing.
//! - [`Resize::Crop`] works like torchvision's `Resize(short_side)` and `CenterCrop`: the short side becomes
//!   `short_side`, the long one `⌊short_side·long/short⌋`. Then the window is cut whose first row is
//!   `rne((h − H)/2)`, likewise for columns. Parts of the window outside the image are black.
//! - Networks with one channel read `(19595·R + 38470·G + 7471·B + 2¹⁵) >> 16`, Pillow's `convert("L")`. With two
//!   or four channels, an opaque alpha follows grey or RGB.

use std::borrow::Cow;
use std::ops::Range;

use foldnet_archive::{Input, Resize};

use crate::ImageRef;
use crate::resample::centred;
use crate::resize::{Filter, resize_window};

/// Returns the image as `height × width × channels` bytes.
pub fn fit<'a>(image: impl Into<ImageRef<'a>>, input: &Input) -> Vec<u8> {
    fit_ref(image.into(), input).into_owned()
}

/// Like [`fit`], but copies nothing if the image already has the network's format.
pub fn fit_ref<'a>(image: ImageRef<'a>, input: &Input) -> Cow<'a, [u8]> {
    let rgb: Cow<'_, [u8]> = match input.resize {
        _ if (image.width(), image.height()) == (input.width, input.height) => image.packed(),
        Resize::Stretch | Resize::Bilinear => {
            let size = (input.width, input.height);
            resize_window(image, filter(input.resize), size, 0..size.0, 0..size.1).into()
        }
        Resize::Crop { short_side } => crop(image, short_side, input.width, input.height).into(),
    };
    if input.channels == 3 {
        return rgb;
    }
    let mut pixels = vec![0; rgb.len() / 3 * input.channels];
    for (from, to) in rgb.chunks_exact(3).zip(pixels.chunks_exact_mut(input.channels)) {
        channels(from, to);
    }
    pixels.into()
}

/// Returns the filter of a resize rule.
pub fn filter(resize: Resize) -> Filter {
    match resize {
        Resize::Bilinear => Filter::Plain,
        Resize::Stretch | Resize::Crop { .. } => Filter::Antialiased,
    }
}

fn crop(image: ImageRef<'_>, short_side: usize, width: usize, height: usize) -> Vec<u8> {
    let size = cropped_size((image.width(), image.height()), short_side);
    let (columns, left) = window(size.0, width);
    let (rows, top) = window(size.1, height);
    let inside = resize_window(image, Filter::Antialiased, size, columns.clone(), rows.clone());
    if columns.len() == width && rows.len() == height {
        return inside;
    }
    let mut framed = vec![0; 3 * width * height];
    for (y, row) in inside.chunks_exact(3 * columns.len()).enumerate() {
        framed[3 * ((top + y) * width + left)..][..row.len()].copy_from_slice(row);
    }
    framed
}

pub use crate::resample::cropped_size;

/// Returns the part of `0..have` that a centred window of length `want` shows, and its position in the window.
pub fn window(have: usize, want: usize) -> (Range<usize>, usize) {
    if have < want {
        return (0..have, (want - have) / 2);
    }
    let start = centred(have, want);
    (start..start + want, 0)
}

/// Writes a pixel with as many channels as `to` has: grey, grey and alpha, RGB, RGB and alpha. Alpha is opaque.
pub fn channels(rgb: &[u8], to: &mut [u8]) {
    let luma = || {
        let weighted = 19_595 * u32::from(rgb[0]) + 38_470 * u32::from(rgb[1]) + 7_471 * u32::from(rgb[2]);
        ((weighted + (1 << 15)) >> 16) as u8
    };
    match to.len() {
        1 => to[0] = luma(),
        2 => to.copy_from_slice(&[luma(), 255]),
        3 => to.copy_from_slice(rgb),
        _ => to.copy_from_slice(&[rgb[0], rgb[1], rgb[2], 255]),
    }
}
