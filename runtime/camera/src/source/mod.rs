//! Where frames come from: one file for each kind of source, behind one trait.

mod files;
mod http;
mod jpeg_stream;
mod kind;
mod raw;
mod stride;
#[cfg(target_os = "linux")]
pub mod v4l;
mod y4m;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use foldnet_image::frame::{Colors, Format, Frame, FrameError, Matrix, Range};

/// How long [`Source::next`] may wait for a frame before it says [`SourceError::Nothing`], where the
/// source can tell.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There will be none: the input has ended.
    #[error("the input has ended")]
    End,
    /// Not yet; ask again.
    #[error("no frame yet")]
    Nothing,
    /// There was one, but no good one; ask again.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The source is gone. It may come back: open it again.
    #[error("{0}")]
    Lost(String),
    /// The source can never be used like this.
    #[error("{0}")]
    Unusable(String),
}

impl SourceError {
    fn lost(what: impl std::fmt::Display) -> Self {
        Self::Lost(what.to_string())
    }

    fn unusable(what: impl std::fmt::Display) -> Self {
        Self::Unusable(what.to_string())
    }
}

/// A stream of frames.
pub trait Source: Send {
    /// Waits for the next frame and puts it into `frame`, whose buffers are reused.
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError>;

    /// What frames come, in words.
    fn describe(&self) -> String;
}

/// What to open.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A V4L2 camera.
    Device(PathBuf),
    /// An image file, or a folder of them, over and over.
    Files(PathBuf),
    /// Y4M, JPEGs, or raw video on standard input.
    Stdin,
    /// `http[s]://[user:password@]host[:port]/path`, of motion JPEG or of single images.
    Http(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(path) | Self::Files(path) => write!(f, "{}", path.display()),
            Self::Stdin => write!(f, "standard input"),
            Self::Http(url) => write!(f, "{}", crate::address::without_login(url)),
        }
    }
}

impl Place {
    /// Tells by the looks of it.
    ///
    /// # Errors
    /// [`SourceError::Unusable`] for an address of a scheme that is not read.
    pub fn new(what: &str) -> Result<Self, SourceError> {
        let is_scheme = |scheme: &&str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let scheme = what.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
        match (what, scheme) {
            ("-", _) => Ok(Self::Stdin),
            (_, Some("http" | "https")) => Ok(Self::Http(what.into())),
            (_, Some("file")) => Err(SourceError::unusable(format!("{what}: give the path alone"))),
            (_, Some(scheme)) => Err(SourceError::unusable(format!(
                "{}: {scheme}:// is not read here; {}",
                crate::address::without_login(what),
                kind::advice(what)
            ))),
            (_, None) if what.starts_with("/dev/") => Ok(Self::Device(what.into())),
            (_, None) => Ok(Self::Files(what.into())),
        }
    }

    /// Whether it is a set of images that have nothing to do with each other.
    pub fn is_stills(&self) -> bool {
        matches!(self, Self::Files(_))
    }

    /// Whether frames come by themselves, so that a silence means that the source is frozen.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Device(_) | Self::Http(_))
    }
}

/// What is wished of a source.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Frame size. Cameras come as near as they can; raw video must be told.
    pub size: Option<(usize, usize)>,
    /// Frames per second.
    pub fps: Option<f64>,
    /// Pixel format. Raw video must be told.
    pub format: Option<Format>,
    /// Bytes from one row of raw video to the next (of the first plane), where rows are padded.
    pub stride: Option<usize>,
    /// In place of what the source says.
    pub matrix: Option<Matrix>,
    /// In place of what the source says.
    pub range: Option<Range>,
    /// Whether files end after one turn.
    pub once: bool,
    /// Certificates (PEM) to trust for `https://`, in place of the system's.
    pub ca: Option<PathBuf>,
}

impl Wishes {
    fn colors(&self, said: Colors) -> Colors {
        Colors { matrix: self.matrix.unwrap_or(said.matrix), range: self.range.unwrap_or(said.range) }
    }
}

/// Opens a source.
pub fn open(place: &Place, wishes: &Wishes) -> Result<Box<dyn Source>, SourceError> {
    match place {
        Place::Files(path) => Ok(Box::new(files::Files::open(path, wishes)?)),
        Place::Stdin => stream(BufReader::with_capacity(1 << 16, std::io::stdin()), wishes),
        Place::Http(url) => Ok(Box::new(http::Http::open(url, wishes)?)),
        #[cfg(target_os = "linux")]
        Place::Device(path) => Ok(Box::new(v4l::Camera::open(path, wishes)?)),
        #[cfg(not(target_os = "linux"))]
        Place::Device(_) => Err(SourceError::unusable("cameras need Linux")),
    }
}

/// Video in a byte stream: told by its first bytes, or by the format that is wished.
pub fn stream(
    mut from: impl BufRead + Send + 'static,
    wishes: &Wishes,
) -> Result<Box<dyn Source>, SourceError> {
    match wishes.format {
        Some(Format::Jpeg) => return Ok(Box::new(jpeg_stream::Jpegs::new(from))),
        Some(format) => return Ok(Box::new(raw::Raw::new(from, format, wishes)?)),
        None => {}
    }
    let start = from.fill_buf().map_err(SourceError::lost)?;
    match start {
        [] => Err(SourceError::End),
        [b'Y', ..] => Ok(Box::new(y4m::Y4m::new(from, wishes)?)),
        // Some programs greet before the first image.
        [0xff, ..] => Ok(Box::new(jpeg_stream::Jpegs::new(from))),
        _ if start.windows(3).any(|bytes| bytes == [0xff, 0xd8, 0xff]) && kind::video(start).is_none() => {
            Ok(Box::new(jpeg_stream::Jpegs::new(from)))
        }
        _ => Err(SourceError::unusable(match kind::video(start) {
            Some(kind) => {
                format!("standard input is {kind}, which is not decoded here; {}", kind::advice("-"))
            }
            None => {
                "video on standard input is neither Y4M nor JPEGs; raw video needs --format and --size".into()
            }
        })),
    }
}

/// Fills the buffer as far as the stream goes; how many bytes there were.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, SourceError> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(SourceError::lost(e)),
        }
    }
    Ok(done)
}
