//! Foldnet for browsers and Node: what the module exports to `foldnet.js`.
//!
//! One instance of the module holds one classifier. JavaScript asks for room with [`input`], writes an archive or RGBA
//! pixels there, and calls [`open`], [`classify`] or [`logits`]. Each returns 0, or the number of a [`Failure`] whose
//! message is the [`text`]. Results stand at [`numbers`] and [`indices`] until the next call.
//!
//! A network that asks for more memory than there is, and a fault of ours, end in a trap. It reaches JavaScript as an
//! exception; [`last_words`] and [`refused_bytes`] tell what happened, and the instance is not used again.
//!
//! There are no threads: Rust's standard library for this target is built without them.

mod classifier;
mod memory;

use std::cell::RefCell;

use classifier::{Failure, State};

#[global_allocator]
static MEMORY: memory::Noting = memory::Noting;

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
    static LAST_WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

fn with<T>(run: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(run)
}

/// Runs a call, and keeps the message if it fails.
fn status(call: impl FnOnce(&mut State) -> Result<(), Failure>) -> u32 {
    with(|state| match call(state) {
        Ok(()) => 0,
        Err(failure) => {
            state.text = failure.to_string();
            failure.number()
        }
    })
}

/// Room for `len` bytes of input, valid until the next call; null when there is not so much memory.
#[unsafe(export_name = "foldnet_input")]
pub extern "C" fn input(len: usize) -> *mut u8 {
    with(|state| state.room(len).map_or(std::ptr::null_mut(), <[u8]>::as_mut_ptr))
}

/// Opens the archive that is the input.
#[unsafe(export_name = "foldnet_open")]
pub extern "C" fn open() -> u32 {
    std::panic::set_hook(Box::new(|panic| {
        LAST_WORDS.with(|words| {
            if let Ok(mut words) = words.try_borrow_mut() {
                *words = panic.to_string();
            }
        });
    }));
    status(State::open)
}

/// Classifies the RGBA image that is the input: a score and an index for each class, the best first.
#[unsafe(export_name = "foldnet_classify")]
pub extern "C" fn classify(width: usize, height: usize) -> u32 {
    status(|state| state.classify(width, height))
}

/// Runs the network on the RGBA image that is the input: its own numbers, in the order of the classes.
#[unsafe(export_name = "foldnet_logits")]
pub extern "C" fn logits(width: usize, height: usize) -> u32 {
    status(|state| state.logits(width, height))
}

/// Scores or logits.
#[unsafe(export_name = "foldnet_numbers")]
pub extern "C" fn numbers() -> *const f32 {
    with(|state| state.numbers.as_ptr())
}

/// The classes of the scores.
#[unsafe(export_name = "foldnet_indices")]
pub extern "C" fn indices() -> *const u32 {
    with(|state| state.indices.as_ptr())
}

/// How many numbers there are.
#[unsafe(export_name = "foldnet_count")]
pub extern "C" fn count() -> usize {
    with(|state| state.numbers.len())
}

/// Makes the [`text`] the name of a class; returns whether there is such a class.
#[unsafe(export_name = "foldnet_label")]
pub extern "C" fn label(index: usize) -> bool {
    with(|state| state.label(index))
}

/// Makes the [`text`] the name of the kernel set.
#[unsafe(export_name = "foldnet_kernels")]
pub extern "C" fn kernels() {
    with(State::kernels);
}

/// Rows (0), columns (1) or channels (2) of what the network reads; 0 without one.
#[unsafe(export_name = "foldnet_side")]
pub extern "C" fn side(axis: usize) -> usize {
    with(|state| state.side(axis))
}

/// Whether scores are shares of 1; otherwise they are plain numbers.
#[unsafe(export_name = "foldnet_shares")]
pub extern "C" fn shares() -> bool {
    with(|state| state.shares())
}

/// Multiply-accumulates (MAC) of one inference.
#[unsafe(export_name = "foldnet_macs")]
pub extern "C" fn macs() -> f64 {
    with(|state| state.macs())
}

/// The last message or name, UTF-8.
#[unsafe(export_name = "foldnet_text")]
pub extern "C" fn text() -> *const u8 {
    with(|state| state.text.as_ptr())
}

/// Bytes of the [`text`].
#[unsafe(export_name = "foldnet_text_len")]
pub extern "C" fn text_len() -> usize {
    with(|state| state.text.len())
}

/// After a trap: what a panic said, UTF-8; empty when it was none.
#[unsafe(export_name = "foldnet_last_words")]
pub extern "C" fn last_words() -> *const u8 {
    LAST_WORDS.with_borrow(|words| words.as_ptr())
}

/// Bytes of the [`last_words`].
#[unsafe(export_name = "foldnet_last_words_len")]
pub extern "C" fn last_words_len() -> usize {
    LAST_WORDS.with_borrow(String::len)
}

/// After a trap: the bytes that were asked for and refused; 0 when memory was enough.
#[unsafe(export_name = "foldnet_refused_bytes")]
pub extern "C" fn refused_bytes() -> usize {
    memory::refused()
}
