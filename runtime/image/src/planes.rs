//! A row of pixels as three planes, which vector units can read without separating colours first.

/// The number of bytes after a plane's last pixel that may be read.
const SLACK: usize = 32;

/// R, G and B of one row.
#[derive(Clone, Debug, Default)]
pub struct Planes {
    bytes: Vec<u8>,
    length: usize,
}

impl Planes {
    /// Makes room for this many pixels; their values are unspecified.
    pub fn resize(&mut self, length: usize) {
        self.length = length;
        self.bytes.resize(3 * (length + SLACK), 0);
    }

    /// Returns the planes for writing.
    pub fn all_mut(&mut self) -> [&mut [u8]; 3] {
        let length = self.length;
        let mut planes = self.bytes.chunks_exact_mut(length + SLACK);
        std::array::from_fn(|_| planes.next().map_or(&mut [][..], |plane| &mut plane[..length]))
    }

    /// Returns the planes.
    pub fn all(&self) -> [&[u8]; 3] {
        self.with_slack().map(|plane| &plane[..self.length])
    }

    /// Returns the planes, followed by bytes without meaning.
    pub fn with_slack(&self) -> [&[u8]; 3] {
        let mut planes = self.bytes.chunks_exact(self.length + SLACK);
        std::array::from_fn(|_| planes.next().unwrap_or(&[0; SLACK]))
    }

    /// Fills the planes from as many pixels as there is room for.
    pub fn fill_from_rgb(&mut self, rgb: &[u8]) {
        split(rgb, self.all_mut());
    }

    /// Like [`Planes::fill_from_rgb`], for `B G R`.
    #[cfg(feature = "frame")]
    pub fn fill_from_bgr(&mut self, bgr: &[u8]) {
        let [r, g, b] = self.all_mut();
        split(bgr, [b, g, r]);
    }

    /// Appends the pixels.
    pub fn append_rgb(&self, out: &mut Vec<u8>) {
        let [r, g, b] = self.all();
        out.extend(r.iter().zip(g).zip(b).flat_map(|((&r, &g), &b)| [r, g, b]));
    }
}

/// Splits pixels of three bytes into one plane per colour.
fn split(pixels: &[u8], planes: [&mut [u8]; 3]) {
    #[cfg(target_arch = "x86_64")]
    let (pixels, planes) = super::avx2::split_rgb(pixels, planes);
    let [first, second, third] = planes;
    for (((pixel, a), b), c) in pixels.chunks_exact(3).zip(first).zip(second).zip(third) {
        (*a, *b, *c) = (pixel[0], pixel[1], pixel[2]);
    }
}
