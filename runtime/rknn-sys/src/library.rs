//! The library and its functions.

use std::ffi::{OsStr, OsString, c_int, c_void};
use std::fmt;

use crate::constants::*;
use crate::types::*;

/// Names tried by [`Library::open`], in order.
pub const NAMES: [&str; 3] =
    ["librknnrt.so", "/usr/lib/librknnrt.so", "/usr/lib/aarch64-linux-gnu/librknnrt.so"];

/// Why there is no [`Library`].
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be opened under any name; each with what the loader said.
    NotFound(Vec<(OsString, String)>),
    /// It lacks a function.
    Lacks {
        /// The library.
        library: OsString,
        /// The function.
        function: &'static str,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(tried) => {
                write!(f, "librknnrt cannot be loaded")?;
                for (i, (name, why)) in tried.iter().enumerate() {
                    write!(f, "{}{}: {why}", if i == 0 { ": " } else { "; " }, name.display())?;
                }
                Ok(())
            }
            Self::Lacks { library, function } => {
                write!(f, "{} has no function {function}", library.display())
            }
        }
    }
}

impl std::error::Error for LoadError {}

macro_rules! library {
    (
        required { $( $(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty; )* }
        optional { $( $(#[$odoc:meta])* fn $oname:ident($($oarg:ident: $oty:ty),*) -> $oret:ty; )* }
    ) => {
        /// The loaded library: its functions by the vendor's names. Unloaded when dropped, so no function
        /// may be copied out of it and outlive it.
        ///
        /// Safety of all functions: pointers are valid for what the function reads and writes, contexts
        /// and memories come from this library and are not destroyed, and no context is used by two
        /// threads at once.
        pub struct Library {
            $( $(#[$doc])* pub $name: unsafe extern "C" fn($($arg: $ty),*) -> $ret, )*
            $( $(#[$odoc])* pub $oname: Option<unsafe extern "C" fn($($oarg: $oty),*) -> $oret>, )*
            name: OsString,
            // Last: dropped after everything that points into it.
            _handle: libloading::Library,
        }

        impl Library {
            fn resolve(name: OsString, handle: libloading::Library) -> Result<Self, LoadError> {
                // SAFETY: the functions have these types in every version of the library that has them.
                $( let $name = unsafe {
                    match handle.get(concat!(stringify!($name), "\0").as_bytes()) {
                        Ok(symbol) => *symbol,
                        Err(_) => {
                            return Err(LoadError::Lacks { library: name, function: stringify!($name) });
                        }
                    }
                }; )*
                // SAFETY: as above.
                $( let $oname = unsafe {
                    handle.get(concat!(stringify!($oname), "\0").as_bytes()).ok().map(|symbol| *symbol)
                }; )*
                Ok(Self { $($name,)* $($oname,)* name, _handle: handle })
            }
        }
    };
}

library! {
    required {
        /// Loads a model: `size` bytes at `model`, or with size 0 the file of that name.
        fn rknn_init(context: *mut rknn_context, model: *mut c_void, size: u32, flag: u32, extend: *mut rknn_init_extend) -> c_int;
        /// A second context of the same model, sharing its weights.
        fn rknn_dup_context(context_in: *mut rknn_context, context_out: *mut rknn_context) -> c_int;
        /// Frees a context; its memories must be gone.
        fn rknn_destroy(context: rknn_context) -> c_int;
        /// Fills `info`, a structure of `size` bytes that goes with the command.
        fn rknn_query(context: rknn_context, cmd: rknn_query_cmd, info: *mut c_void, size: u32) -> c_int;
        /// Copies inputs in.
        fn rknn_inputs_set(context: rknn_context, n_inputs: u32, inputs: *mut rknn_input) -> c_int;
        /// Chooses cores; RK3588 and RK3576 only.
        fn rknn_set_core_mask(context: rknn_context, core_mask: rknn_core_mask) -> c_int;
        /// Runs the model and waits for it; `extend` is null.
        fn rknn_run(context: rknn_context, extend: *mut rknn_run_extend) -> c_int;
        /// Copies outputs out; `extend` is null.
        fn rknn_outputs_get(context: rknn_context, n_outputs: u32, outputs: *mut rknn_output, extend: *mut rknn_output_extend) -> c_int;
        /// Frees what `rknn_outputs_get` made.
        fn rknn_outputs_release(context: rknn_context, n_outputs: u32, outputs: *mut rknn_output) -> c_int;
        /// Memory around a file descriptor, such as a camera's DMA-BUF; null when that fails.
        fn rknn_create_mem_from_fd(context: rknn_context, fd: i32, virt_addr: *mut c_void, size: u32, offset: i32) -> *mut rknn_tensor_mem;
        /// Memory for inputs and outputs, cached by the CPU; null when there is none.
        fn rknn_create_mem(context: rknn_context, size: u32) -> *mut rknn_tensor_mem;
        /// Frees memory.
        fn rknn_destroy_mem(context: rknn_context, mem: *mut rknn_tensor_mem) -> c_int;
        /// Makes memory an input or output of the model.
        fn rknn_set_io_mem(context: rknn_context, mem: *mut rknn_tensor_mem, attr: *mut rknn_tensor_attr) -> c_int;
    }
    optional {
        /// Makes writes visible to the other side (since 1.5).
        fn rknn_mem_sync(context: rknn_context, mem: *mut rknn_tensor_mem, mode: rknn_mem_sync_mode) -> c_int;
        /// As `rknn_create_mem`, with flags (since 2.0).
        fn rknn_create_mem2(context: rknn_context, size: u64, alloc_flags: u64) -> *mut rknn_tensor_mem;
        /// How many cores share a batch.
        fn rknn_set_batch_core_num(context: rknn_context, core_num: c_int) -> c_int;
        /// Waits for a run that did not block.
        fn rknn_wait(context: rknn_context, extend: *mut rknn_run_extend) -> c_int;
    }
}

impl Library {
    /// Opens the library where the system has it: [`NAMES`].
    pub fn open() -> Result<Self, LoadError> {
        Self::first_of(NAMES.iter().map(OsStr::new))
    }

    /// Opens the library at a path.
    pub fn open_at(path: impl AsRef<OsStr>) -> Result<Self, LoadError> {
        Self::first_of([path.as_ref()].into_iter())
    }

    fn first_of<'a>(names: impl Iterator<Item = &'a OsStr>) -> Result<Self, LoadError> {
        let mut tried = Vec::new();
        for name in names {
            // SAFETY: runs the library's initializers; that the file is the vendor's library, or one with
            // its interface, is what calling this function states.
            match unsafe { libloading::Library::new(name) } {
                Ok(handle) => return Self::resolve(name.into(), handle),
                Err(error) => tried.push((name.into(), error.to_string())),
            }
        }
        Err(LoadError::NotFound(tried))
    }

    /// The name it was opened under.
    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("name", &self.name).finish_non_exhaustive()
    }
}
