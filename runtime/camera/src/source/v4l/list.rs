//! The cameras of this machine.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ioctl::{self, FrameInterval, FrameSize, zeroed};
use super::{FORMATS, capabilities, enumerate, formats, open_device, text};

/// A camera.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// `/dev/video…`
    pub device: PathBuf,
    /// What the driver calls it.
    pub name: String,
    /// In the driver's order.
    pub formats: Vec<ListedFormat>,
}

/// A pixel format of a camera.
#[derive(Clone, Debug, Serialize)]
pub struct ListedFormat {
    /// The driver's four characters.
    pub code: String,
    /// The name for `--format`, when we can read it.
    pub format: Option<&'static str>,
    /// Sizes: `640×480`, or the range of them.
    pub sizes: Vec<String>,
    /// The most frames per second at the first size, where the driver tells.
    pub fps: Option<f64>,
}

/// All cameras that can be opened, and why others cannot.
pub fn devices() -> (Vec<Listed>, Vec<String>) {
    let mut paths: Vec<(u32, PathBuf)> = std::fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    paths.sort();
    let (mut cameras, mut problems) = (Vec::new(), Vec::new());
    for (_, path) in paths {
        match list(&path) {
            Ok(Some(camera)) => cameras.push(camera),
            // An output, a decoder, a metadata node.
            Ok(None) => {}
            Err(e) => problems.push(format!("{}: {e}", path.display())),
        }
    }
    (cameras, problems)
}

fn list(path: &Path) -> std::io::Result<Option<Listed>> {
    let device = open_device(path)?;
    let Some(name) = capabilities(&device)? else { return Ok(None) };
    let formats = formats(&device)
        .iter()
        .map(|f| {
            let start = |index| FrameSize { index, pixel_format: f.pixel_format, ..zeroed() };
            let sizes = enumerate(&device, &ioctl::ENUM_FRAMESIZES, start);
            let fps = sizes.first().and_then(|size| {
                let [width, height] = if size.kind == 1 { [size.of[0], size.of[1]] } else { [640, 480] };
                let start =
                    |index| FrameInterval { index, pixel_format: f.pixel_format, width, height, ..zeroed() };
                let intervals = enumerate(&device, &ioctl::ENUM_FRAMEINTERVALS, start);
                let fps = |i: &FrameInterval| f64::from(i.of[0].denominator) / f64::from(i.of[0].numerator);
                intervals.iter().map(fps).filter(|fps| fps.is_finite()).reduce(f64::max)
            });
            ListedFormat {
                code: text(&f.pixel_format),
                format: FORMATS.iter().find(|(code, _)| *code == f.pixel_format).map(|(_, f)| f.name()),
                sizes: sizes.iter().map(size).collect(),
                fps,
            }
        })
        .collect();
    Ok(Some(Listed { device: path.into(), name, formats }))
}

fn size(size: &FrameSize) -> String {
    match (size.kind, size.of) {
        (1, [w, h, ..]) => format!("{w}×{h}"),
        (_, [w0, w1, _, h0, h1, _]) => format!("{w0}×{h0} to {w1}×{h1}"),
    }
}
