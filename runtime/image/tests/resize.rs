//! Our pixels equal Pillow's bit for bit, and TensorFlow's except for rounding. `golden/pillow_resize.py` and
//! `golden/tensorflow_resize.py` generate the files.

use foldnet_archive::{Input, Resize};
use foldnet_image::{Image, fit};

/// Draws the same image as `draw` in the script.
fn draw(width: usize, height: usize) -> Image {
    let mut state = (width * 65_537 + height) as u32;
    let samples = (0..3 * width * height).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let row = i / (3 * width);
        if row.is_multiple_of(3) { 255 * (state >> 31) as u8 } else { (state >> 24) as u8 }
    });
    Image::new(width, height, samples.collect()).unwrap()
}

fn input(height: usize, width: usize, channels: usize, resize: Resize) -> Input {
    let (mean, std) = (vec![0.0; channels], vec![1.0; channels]);
    Input { height, width, channels, resize, preprocess: "none".into(), mean, std }
}

#[test]
fn every_case_is_pillows() {
    let mut cases = 0;
    for line in include_str!("golden/pillow_resize.txt").lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let n: Vec<usize> = words[1..7].iter().map(|w| w.parse().unwrap()).collect();
        let resize = match words[0] {
            "stretch" => Resize::Stretch,
            _ => Resize::Crop { short_side: n[5] },
        };
        let pixels = fit(&draw(n[1], n[2]), &input(n[4], n[3], n[0], resize));
        if let Some(shown) = words.get(8) {
            let ours: String = pixels.iter().map(|p| format!("{p:02x}")).collect();
            assert_eq!(&ours, shown, "{line}");
        }
        assert_eq!(format!("{:08x}", crc32fast::hash(&pixels)), words[7], "{line}");
        cases += 1;
    }
    assert_eq!(cases, 33);
}

#[test]
fn a_picture_of_the_right_size_is_taken_as_it_is() {
    let picture = draw(24, 24);
    for resize in [Resize::Stretch, Resize::Crop { short_side: 30 }] {
        assert_eq!(fit(&picture, &input(24, 24, 3, resize)), picture.rgb());
    }
    let with_alpha = fit(&picture, &input(24, 24, 4, Resize::Stretch));
    assert_eq!(with_alpha[..8], [&picture.rgb()[..3], &[255], &picture.rgb()[3..6], &[255]].concat());
    assert_eq!(fit(&picture, &input(24, 24, 2, Resize::Stretch)).len(), 24 * 24 * 2);
}

#[test]
fn a_sliver_costs_its_own_size() {
    // Resized as a whole, these would be 256 × 8 million pixels.
    for (w, h) in [(32_768, 1), (1, 32_768)] {
        let pixels = fit(&draw(w, h), &input(224, 224, 3, Resize::Crop { short_side: 256 }));
        assert_eq!(pixels.len(), 224 * 224 * 3);
    }
}

#[test]
fn every_case_is_tensorflows_but_for_rounding() {
    let mut cases = 0;
    for line in include_str!("golden/tensorflow_resize.txt").lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let n: Vec<usize> = words[1..5].iter().map(|w| w.parse().unwrap()).collect();
        let resize = if words[0] == "bilinear" { Resize::Bilinear } else { Resize::Stretch };
        let theirs: Vec<u8> = (0..words[5].len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&words[5][i..i + 2], 16).unwrap())
            .collect();
        let ours = fit(&draw(n[0], n[1]), &input(n[3], n[2], 3, resize));
        assert_eq!(ours.len(), theirs.len());
        let off: Vec<u8> = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).collect();
        let mean = off.iter().map(|&o| f64::from(o)).sum::<f64>() / off.len() as f64;
        // Each of the two passes rounds; TensorFlow rounds once.
        assert!(off.iter().all(|&o| o <= 1) && mean < 0.5, "{}: mean {mean}, {off:?}", &line[..24]);
        cases += 1;
    }
    assert_eq!(cases, 24);
}
