//! Decodes JPEG, PNG, WebP and BMP to RGB.
//!
//! All kinds of pixels are converted like Pillow's `convert("RGB")`, because Keras and torchvision train with it:
//! grey is replicated, a palette is looked up, alpha is dropped (not composited). 16-bit samples keep their high
//! byte. Of an animation, only the first frame is decoded. The EXIF orientation is applied. The format is detected
//! from the content, not from the name.
//!
//! Files are not trusted: the sizes of file and image are bounded before memory is allocated, and an image that
//! ends early is refused rather than filled with grey.

use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::Image;
use super::jpeg_end::is_cut;

/// The longest side of an image.
pub const MAX_SIDE: usize = 1 << 15;
/// The largest size of an image file in bytes.
pub const MAX_FILE: u64 = 1 << 28;
/// The largest number of pixels of an image: 134 million, or 403 MB of RGB.
pub const MAX_PIXELS: u64 = 1 << 27;
/// The largest number of bytes that decoding may allocate.
const MAX_ALLOC: u64 = 1 << 29;

/// The reason why an image cannot be read. The caller adds which image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The operating system reported an error.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The format is not supported.
    #[error("not an image (JPEG, PNG, WebP and BMP are understood)")]
    NotAnImage,
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file ends before the image does.
    #[error("the image is cut short")]
    Cut,
    /// The file or the image is too large.
    #[error(
        "too large: at most {} MB, {MAX_SIDE} pixels a side and {} million pixels are read",
        MAX_FILE >> 20,
        MAX_PIXELS / 1_000_000
    )]
    TooLarge,
    /// The decoder reported an error.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<image::ImageError> for ImageError {
    fn from(error: image::ImageError) -> Self {
        use image::ImageError;

        match error {
            ImageError::Limits(_) => Self::TooLarge,
            ImageError::Unsupported(_) => Self::Damaged(error.to_string()),
            ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Self::Cut,
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl Image {
    /// Reads and decodes an image file.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        Self::read(foldnet_archive::open_file(path)?)
    }

    /// Reads to the end and decodes an image.
    pub fn read(from: impl Read) -> Result<Self, ImageError> {
        let mut bytes = Vec::new();
        from.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(ImageError::TooLarge);
        }
        Self::decode(&bytes)
    }

    /// Decodes the bytes of an image file.
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError::Empty);
        }
        if is_cut(bytes) {
            return Err(ImageError::Cut);
        }
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        if reader.format().is_none_or(|format| !format.reading_enabled()) {
            return Err(ImageError::NotAnImage);
        }
        reader.limits(limits());
        let mut decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        limits().check_dimensions(width, height)?;
        if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_ALLOC {
            return Err(ImageError::TooLarge);
        }
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self::new(width, height, rgb(image)).ok_or(ImageError::Empty)
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE as u32);
    limits.max_image_height = Some(MAX_SIDE as u32);
    limits.max_alloc = Some(MAX_ALLOC);
    limits
}

fn rgb(image: DynamicImage) -> Vec<u8> {
    fn first3<T: Copy>(samples: &[T], per_pixel: usize, byte: impl Fn(T) -> u8) -> Vec<u8> {
        let pixels = samples.chunks_exact(per_pixel);
        match per_pixel {
            1 | 2 => pixels.flat_map(|p| [byte(p[0]); 3]).collect(),
            _ => pixels.flat_map(|p| [byte(p[0]), byte(p[1]), byte(p[2])]).collect(),
        }
    }
    let high = |sample: u16| (sample >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(i) => i.into_raw(),
        DynamicImage::ImageLuma8(i) => first3(&i, 1, |b| b),
        DynamicImage::ImageLumaA8(i) => first3(&i, 2, |b| b),
        DynamicImage::ImageRgba8(i) => first3(&i, 4, |b| b),
        DynamicImage::ImageLuma16(i) => first3(&i, 1, high),
        DynamicImage::ImageLumaA16(i) => first3(&i, 2, high),
        DynamicImage::ImageRgb16(i) => first3(&i, 3, high),
        DynamicImage::ImageRgba16(i) => first3(&i, 4, high),
        other => other.into_rgb8().into_raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder};
    use image::{ImageFormat, codecs::png::PngEncoder};
    use proptest::prelude::*;

    fn png(samples: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(samples, width, height, color).unwrap();
        bytes
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut image = image::RgbImage::new(7, 5);
        for (x, y, p) in image.enumerate_pixels_mut() {
            *p = image::Rgb([x as u8 * 30, y as u8 * 40, 99]);
        }
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 4] =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP];

    #[test]
    fn pixels_become_rgb_as_pillow_has_it() {
        let cases = [
            (png(&[7, 200], 2, 1, ExtendedColorType::L8), vec![7, 7, 7, 200, 200, 200]),
            (png(&[7, 0], 1, 1, ExtendedColorType::La8), vec![7; 3]),
            (png(&[1, 2, 3, 0], 1, 1, ExtendedColorType::Rgba8), vec![1, 2, 3]),
            // The samples have 16 bits, in the machine's byte order.
            (
                png(
                    &[0x1234_u16, 0xff00, 0x0080].map(u16::to_ne_bytes).concat(),
                    1,
                    1,
                    ExtendedColorType::Rgb16,
                ),
                vec![0x12, 0xff, 0x00],
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Image::decode(&bytes).unwrap().rgb(), expected);
        }
    }

    #[test]
    fn orientation_is_applied() {
        // The EXIF segment requests a rotation by 90° clockwise.
        let exif =
            b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let jpeg = encoded(ImageFormat::Jpeg);
        let plain = Image::decode(&jpeg).unwrap();
        assert_eq!((plain.width(), plain.height()), (7, 5));
        let turned = Image::decode(&[&jpeg[..2], exif, &jpeg[2..]].concat()).unwrap();
        assert_eq!((turned.width(), turned.height()), (5, 7));
        // The top left pixel of the rotated image was bottom left.
        assert_eq!(turned.rgb()[..3], plain.rgb()[4 * 7 * 3..][..3]);
    }

    #[test]
    fn the_start_of_a_picture_is_not_a_picture() {
        for format in FORMATS {
            let bytes = encoded(format);
            for keep in 0..bytes.len() {
                // A format may have bytes after the last pixel that nothing needs.
                if let Ok(picture) = Image::decode(&bytes[..keep]) {
                    assert_eq!(picture, Image::decode(&bytes).unwrap(), "{format:?} cut at {keep}");
                }
            }
        }
    }

    #[test]
    fn errors_have_names() {
        let error = |bytes: &[u8]| Image::decode(bytes).unwrap_err();
        assert!(matches!(error(b""), ImageError::Empty));
        assert!(matches!(error(b"hello, world"), ImageError::NotAnImage));
        assert!(matches!(error(b"GIF89a\x01\0\x01\0"), ImageError::NotAnImage));
        assert!(matches!(error(&encoded(ImageFormat::Png)[..60]), ImageError::Cut | ImageError::Damaged(_)));
        // The header declares a BMP of 40000×1 pixels.
        let mut bmp = encoded(ImageFormat::Bmp);
        bmp[18..22].copy_from_slice(&40_000_u32.to_le_bytes());
        assert!(matches!(error(&bmp), ImageError::TooLarge));
        assert!(matches!(Image::open(Path::new("/nonexistent")), Err(ImageError::Io(_))));
    }

    #[test]
    fn an_image_of_too_many_pixels_is_refused_by_its_header() {
        // The JPEG's frame header declares 20,000 × 20,000 grey pixels.
        let grey = image::GrayImage::new(16, 16);
        let mut jpeg = Cursor::new(Vec::new());
        grey.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
        let mut jpeg = jpeg.into_inner();
        let frame = jpeg.windows(4).position(|w| w == [0xff, 0xc0, 0, 11]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        assert!(matches!(Image::decode(&jpeg), Err(ImageError::TooLarge)));
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_decoder(
            format in 0..4_usize,
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = encoded(FORMATS[format]);
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = Image::decode(&bytes);
        }
    }
}
