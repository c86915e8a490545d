//! What the element attaches to buffers and posts on the bus.
//!
//! Both are a structure of the same fields:
//!
//! | field | type | what |
//! |---|---|---|
//! | `label`, `index`, `score` | string, uint, float | the best class |
//! | `results` | array of structures `class` | the best classes with the same three fields |
//!
//! The message, `foldnet-classification`, also has the frame's `timestamp`, `stream-time` and `running-time`, as those
//! of GStreamer's own elements have.

use foldnet::Label;
use gst::prelude::*;

/// Name of the meta on classified buffers. [`gst::meta::CustomMeta::from_buffer`] finds it.
pub const META: &str = "FoldnetClassificationMeta";

/// Makes the meta known. Its content does not change with the size or the content of the frame.
pub fn register() {
    gst::meta::CustomMeta::register_simple(META);
}

/// Fields of a structure.
type Fields = Vec<(&'static str, gst::glib::SendValue)>;

fn class(label: &Label) -> Fields {
    vec![
        ("label", (*label.name).to_send_value()),
        ("index", (label.index as u32).to_send_value()),
        ("score", label.score.to_send_value()),
    ]
}

fn structure(name: &str, fields: Fields) -> gst::Structure {
    let mut structure = gst::Structure::new_empty(name);
    for (field, value) in fields {
        structure.set_value(field, value);
    }
    structure
}

/// The fields of the best classes, the best first.
fn fields(labels: &[Label]) -> Fields {
    let mut fields = labels.first().map(class).unwrap_or_default();
    let classes = labels.iter().map(|label| structure("class", class(label)));
    fields.push(("results", gst::Array::new(classes).to_send_value()));
    fields
}

/// Attaches the best classes to a buffer. An earlier result of another such element stays.
pub fn attach(buffer: &mut gst::BufferRef, labels: &[Label]) -> Result<(), gst::glib::BoolError> {
    let mut meta = gst::meta::CustomMeta::add(buffer, META)?;
    let structure = meta.mut_structure();
    for (field, value) in fields(labels) {
        structure.set_value(field, value);
    }
    Ok(())
}

/// The message of a frame.
pub fn message(
    labels: &[Label],
    buffer: &gst::BufferRef,
    segment: &gst::FormattedSegment<gst::ClockTime>,
) -> gst::Structure {
    let mut structure = structure("foldnet-classification", fields(labels));
    if let Some(time) = buffer.pts() {
        structure.set("timestamp", time);
        structure.set("stream-time", segment.to_stream_time(time));
        structure.set("running-time", segment.to_running_time(time));
    }
    structure
}
