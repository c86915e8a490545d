//! GStreamer element `foldnetclassify`: passes video through and says what is on it.
//!
//! ```text
//! gst-launch-1.0 -m filesrc location=film.mkv ! decodebin ! videoconvert ! \
//!     foldnetclassify model=model.nnef.tgz ! fakesink
//! ```
//!
//! - `element.rs` is the element: pads, properties, states.
//! - `frame.rs` reads GStreamer's frames where they lie.
//! - `results.rs` is what the element attaches to buffers and posts on the bus.
//!
//! A program that links this crate calls [`plugin_register_static`].

mod element;
mod frame;
mod results;

use gst::glib;
use gst::prelude::*;

pub use plugin::plugin_register_static;
pub use results::META;

glib::wrapper! {
    /// The element `foldnetclassify`.
    pub struct FoldnetClassify(ObjectSubclass<element::FoldnetClassify>) @extends gst::Element, gst::Object;
}

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    results::register();
    gst::Element::register(Some(plugin), "foldnetclassify", gst::Rank::NONE, FoldnetClassify::static_type())
}

/// What GStreamer finds in the library. The macro writes items without documentation.
#[allow(missing_docs)]
mod plugin {
    use super::plugin_init;

    gst::plugin_define!(
        foldnet,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        env!("CARGO_PKG_VERSION"),
        // GStreamer knows only some licences by name; "MIT/X11" is its name for the first of ours.
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_REPOSITORY")
    );
}
