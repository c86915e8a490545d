//! The network's pixels as PNG files, and back without a change.

use std::io::Cursor;
use std::path::Path;

use foldnet_archive::Input;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageReader, Limits};

/// The color of a number of channels; none where that is no image.
fn color(channels: usize) -> Option<ExtendedColorType> {
    match channels {
        1 => Some(ExtendedColorType::L8),
        3 => Some(ExtendedColorType::Rgb8),
        _ => None,
    }
}

/// Encodes pixels; `None` where they are no image with one channel or three.
pub fn encode(pixels: &[u8], [width, height, channels]: [usize; 3]) -> Option<Vec<u8>> {
    let color = color(channels).filter(|_| pixels.len() == width * height * channels)?;
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, width as u32, height as u32, color).ok()?;
    Some(png)
}

/// Reads a file back; `None` if it is not there, damaged, or not an image of this size.
pub fn read(path: &Path, input: &Input) -> Option<Vec<u8>> {
    let bytes = foldnet_archive::open_file(path).ok().and_then(|file| {
        let mut bytes = Vec::new();
        // A PNG is hardly larger than its pixels.
        let most = 2 * (input.width * input.height * input.channels) as u64 + 4096;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, most), &mut bytes).ok()?;
        Some(bytes)
    })?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Png);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(input.width as u32), Some(input.height as u32));
    reader.limits(limits);
    let image = reader.decode().ok()?;
    let has_size = [image.width() as usize, image.height() as usize] == [input.width, input.height];
    let pixels = match (input.channels, image) {
        (1, image::DynamicImage::ImageLuma8(grey)) => grey.into_raw(),
        (3, image::DynamicImage::ImageRgb8(rgb)) => rgb.into_raw(),
        _ => return None,
    };
    has_size.then_some(pixels)
}
