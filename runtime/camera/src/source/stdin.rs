//! Standard input: Y4M, JPEGs, or raw video.

use std::io::{BufRead, BufReader};

use super::jpeg_stream::Jpegs;
use super::kind::Kind;
use super::raw::Raw;
use super::y4m::Y4m;
use super::{Source, SourceError, Wishes, video};
use foldnet_image::frame::Format;

/// See the module.
pub static KIND: Kind = Kind {
    claims: |at| at == "-",
    shown: |_| "standard input".into(),
    is_live: false,
    is_stills: false,
    open: |_, wishes| stream(BufReader::with_capacity(1 << 16, std::io::stdin()), wishes),
};

/// Video in a byte stream: told by its first bytes, or by the format that is wished.
///
/// # Errors
/// [`SourceError::End`] for an empty stream, [`SourceError::Unusable`] for what is not decoded.
pub fn stream(
    mut from: impl BufRead + Send + 'static,
    wishes: &Wishes,
) -> Result<Box<dyn Source>, SourceError> {
    match wishes.format {
        Some(Format::Jpeg) => return Ok(Box::new(Jpegs::new(from))),
        Some(format) => return Ok(Box::new(Raw::new(from, format, wishes)?)),
        None => {}
    }
    let start = from.fill_buf().map_err(SourceError::lost)?;
    match start {
        [] => Err(SourceError::End),
        [b'Y', ..] => Ok(Box::new(Y4m::new(from, wishes)?)),
        [0xff, ..] => Ok(Box::new(Jpegs::new(from))),
        // Some programs greet before the first image.
        _ if start.windows(3).any(|bytes| bytes == [0xff, 0xd8, 0xff]) && video::kind(start).is_none() => {
            Ok(Box::new(Jpegs::new(from)))
        }
        _ => Err(SourceError::unusable(match video::kind(start) {
            Some(kind) => {
                format!("standard input is {kind}, which is not decoded here; {}", video::advice("-"))
            }
            None => {
                "video on standard input is neither Y4M nor JPEGs; raw video needs --format and --size".into()
            }
        })),
    }
}
