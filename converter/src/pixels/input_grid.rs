//! How a file quantizes its input: the scale tells the range of the numbers into which pixels are converted.

use foldnet_kernels::Shape;

use super::Reading;
use crate::import::InputGrid;
use crate::pass::Preprocess;

/// Calibration sees nearly the whole range of a reading; this is the missing fraction.
const NEARLY: f32 = 0.04;
/// Less than half a step of 256: the numbers are equal.
const EQUAL: f32 = 0.0015;

/// Returns the reading whose range the input can represent.
pub fn reading(grid: InputGrid, shape: Shape) -> Option<Reading> {
    let (lo, hi) = ((-128.0 - grid.zero) * grid.scale, (127.0 - grid.zero) * grid.scale);
    let off = |name: &&str| {
        let (least, most) = range(&Preprocess::parse(name, shape.c).ok()?)?;
        Some((lo - least).abs().max((hi - most).abs()) / (most - least))
    };
    let near = |limit: f32| {
        move |name: &&str| match off(name) {
            Some(off) => off < limit,
            None => false,
        }
    };
    let tell = |preprocess: String| {
        let reason = format!("its input is quantized to {lo:.3}…{hi:.3}");
        Some(Reading { preprocess, reason })
    };
    let exactly = || format!("{}/{}", 128.0 + grid.zero, 1.0 / grid.scale);
    let all = ["0-1", "tf", "none", "torch", "caffe"];
    if let Some(name) = all.iter().find(|name| near(EQUAL)(name)) {
        return tell((*name).into());
    }
    // Pixels minus a number, as in files that Foldnet writes.
    if grid.bytes && grid.scale == 1.0 {
        return tell(exactly());
    }
    let found = all.iter().find(|name| near(NEARLY)(name)).copied();
    match found {
        // A byte of the image is a byte of the input; the scale exactly defines its value.
        Some("0-1" | "tf" | "none") if grid.bytes => tell(exactly()),
        found => found.and_then(|name| tell(name.into())),
    }
}

/// Returns the smallest and the largest number that a pixel can become.
fn range(preprocess: &Preprocess) -> Option<(f32, f32)> {
    let of = |pixel: f32| preprocess.mean.iter().zip(&preprocess.std).map(move |(m, s)| (pixel - m) / s);
    Some((of(0.0).reduce(f32::min)?, of(255.0).reduce(f32::max)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scale: f32, zero: f32, bytes: bool) -> Option<String> {
        reading(InputGrid { scale, zero, bytes }, Shape::new(32, 32, 3)).map(|r| r.preprocess)
    }

    #[test]
    fn a_range_tells_the_preprocessing() {
        for bytes in [false, true] {
            assert_eq!(read(1.0, -128.0, bytes).unwrap(), "none");
            assert_eq!(read(1.0 / 255.0, -128.0, bytes).unwrap(), "0-1");
            assert_eq!(read(0.018_65, -14.0, bytes).unwrap(), "torch");
            assert_eq!(read(1.078, -13.0, bytes).unwrap(), "caffe");
            assert_eq!(read(0.3, 5.0, bytes), None);
        }
        assert_eq!(read(2.0 / 255.0, -1.0, false).unwrap(), "tf");
    }

    #[test]
    fn what_a_byte_stands_for_is_taken_exactly() {
        // As in most files of TensorFlow's converter: −1 is the nearest to the middle, which is no byte.
        assert_eq!(read(1.0 / 128.0, 0.0, true).unwrap(), "128/128");
        assert_eq!(read(1.0 / 128.0, 0.0, false).unwrap(), "tf");
        assert_eq!(read(1.0, -14.0, true).unwrap(), "114/1");
    }
}
