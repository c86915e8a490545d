//! Rockchip's NPU runtime, `librknnrt`, as raw bindings that are loaded at run time.
//!
//! [`Library::open`] finds the library and resolves its functions; every function is a field of
//! [`Library`] under the vendor's name. Types and constants have the vendor's names too, so that its
//! documentation can be read beside the code. They follow RKNN SDK 2.3.2 (`rknn_api.h`, April 2025);
//! fields and codes have not changed their place since 1.5.
//!
//! # Order of calls
//! `rknn_init` → `rknn_query` → `rknn_create_mem` → `rknn_set_io_mem` for each input and output →
//! (`rknn_run`)* → `rknn_destroy_mem` → `rknn_destroy`. Memory belongs to the context that made it and must
//! be destroyed first. With `rknn_inputs_set` and `rknn_outputs_get` in place of the memories, the
//! library copies; `rknn_outputs_release` must follow each `rknn_outputs_get`.
//!
//! A context may be used by one thread at a time. `rknn_dup_context` makes a second one that shares the
//! weights; the first must outlive it.
//!
//! # Example
//! ```no_run
//! use std::ptr::null_mut;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rknn = rknn_sys::Library::open()?;
//! let mut model = std::fs::read("model.rknn")?;
//! let mut context = 0;
//! // SAFETY: `model` is as long as said and outlives the call.
//! let code = unsafe {
//!     (rknn.rknn_init)(&mut context, model.as_mut_ptr().cast(), model.len() as u32, 0, null_mut())
//! };
//! rknn_sys::check("rknn_init", code)?;
//! // SAFETY: the context was just made and is not used again.
//! unsafe { (rknn.rknn_destroy)(context) };
//! # Ok(())
//! # }
//! ```

#![allow(non_camel_case_types)]

mod code;
mod constants;
mod library;
mod types;

pub use code::*;
pub use constants::*;
pub use library::*;
pub use types::*;
