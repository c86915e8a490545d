//! `runtime classify --explain`: a heat map, drawn over the image as the network sees it.

use std::path::Path;

use foldnet::Session;
use foldnet::explain::{HeatMap, HeatMaps};
use foldnet_archive::write_file;
use foldnet_image::{Image, fit};
use image::{ImageEncoder, codecs::png::PngEncoder};

use super::backend::{Choice, Loaded};
use super::{Failure, read};

/// The longer side of the drawing has at least so many pixels.
const SIDE: usize = 256;

/// Makes heat maps.
pub struct Explainer {
    session: Session,
    maps: HeatMaps,
}

impl Explainer {
    /// For an archive; a network without heat maps is an error.
    pub fn load(archive: &Path, choice: &Choice) -> Result<Self, Failure> {
        let (network, _) = read(archive)?;
        let maps = HeatMaps::of(&network)
            .map_err(|error| Failure::input(format_args!("--explain: {}: {error}", archive.display())))?;
        Ok(Self { session: choice.session(&network, "--explain")?, maps })
    }

    /// Writes the heat map of an image's best score, and returns the number of the score.
    pub fn write(&mut self, image: &Image, classifier: &Loaded, file: &Path) -> Result<usize, Failure> {
        let input = &classifier.manifest.input;
        let pixels = fit(image, input);
        let logits = self.maps.run(&mut self.session, &pixels);
        let class = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        let logit = logits[class];
        // With one output for two classes, its sign decides.
        let pair = classifier.scores.len() > self.maps.classes();
        let best = if pair { usize::from(logit > 0.0) } else { class };
        let map = self.maps.of_label(best, pair).expect("it is one of the labels");
        let drawing = draw(&pixels, input.width, input.height, &map);
        let failure =
            |error: &dyn std::fmt::Display| Failure::input(format_args!("{}: {error}", file.display()));
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(
                &drawing.rgb,
                drawing.width as u32,
                drawing.height as u32,
                image::ExtendedColorType::Rgb8,
            )
            .map_err(|error| failure(&error))?;
        write_file(file, &png).map_err(|error| failure(&error))?;
        Ok(best)
    }
}

struct Drawing {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// The image, enlarged, under colours from red to yellow where it speaks for the class. Parts that do not, or speak
/// against it, stay as they are.
fn draw(pixels: &[u8], width: usize, height: usize, map: &HeatMap) -> Drawing {
    let zoom = SIDE.div_ceil(width.max(height));
    let channels = pixels.len() / (width * height);
    let most = map.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut rgb = Vec::with_capacity(3 * width * height * zoom * zoom);
    for y in 0..height * zoom {
        for x in 0..width * zoom {
            let at = (y / zoom * width + x / zoom) * channels;
            let heat = (between(map, x, width * zoom, y, height * zoom) / most).clamp(0.0, 1.0);
            let colour = [255.0, 255.0 * (2.0 * heat - 1.0).max(0.0), 0.0];
            for (channel, colour) in colour.into_iter().enumerate() {
                let pixel = f32::from(pixels[at + channel.min(channels - 1)]);
                rgb.push((pixel + 0.65 * heat * (colour - pixel)).round() as u8);
            }
        }
    }
    Drawing { width: width * zoom, height: height * zoom, rgb }
}

/// The map's value at a pixel of a drawing of this size, bilinear between the centres of its cells.
fn between(map: &HeatMap, x: usize, width: usize, y: usize, height: usize) -> f32 {
    let place = |at: usize, of: usize, cells: usize| {
        let position = ((at as f32 + 0.5) * cells as f32 / of as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
        let cell = position as usize;
        (cell, (cell + 1).min(cells - 1), position - cell as f32)
    };
    let ((left, right, across), (top, bottom, down)) =
        (place(x, width, map.width), place(y, height, map.height));
    let row = |row: usize| {
        let (a, b) = (map.values[row * map.width + left], map.values[row * map.width + right]);
        a + (b - a) * across
    };
    row(top) + (row(bottom) - row(top)) * down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_is_drawn_where_the_class_is_and_nowhere_else() {
        let map = HeatMap { width: 2, height: 2, values: vec![8.0, -4.0, 0.0, 4.0], rest: 1.0 };
        for (channels, grey) in [(3, [90, 100, 110]), (1, [90, 90, 90])] {
            let pixels: Vec<u8> = grey[..channels].repeat(32 * 16);
            let drawing = draw(&pixels, 32, 16, &map);
            assert_eq!((drawing.width, drawing.height, drawing.rgb.len()), (256, 128, 3 * 256 * 128));
            let at = |x: usize, y: usize| &drawing.rgb[3 * (y * 256 + x)..][..3];
            // The hottest place is yellow by 65 %, what speaks against the class is as it was.
            let yellow =
                |pixel: u8, to: f32| (f32::from(pixel) + 0.65 * (to - f32::from(pixel))).round() as u8;
            assert_eq!(at(0, 0), [yellow(grey[0], 255.0), yellow(grey[1], 255.0), yellow(grey[2], 0.0)]);
            assert_eq!((at(255, 0), at(0, 127)), (&grey[..], &grey[..]));
            let red = at(255, 127);
            assert!(red[0] > grey[0] + 40 && red[1] < grey[1], "{red:?}");
        }
        let cold = HeatMap { values: vec![-1.0; 4], ..map };
        assert!(draw(&[7; 300], 10, 10, &cold).rgb.iter().all(|&v| v == 7));
    }
}
