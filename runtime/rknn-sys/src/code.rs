//! What the library's functions return.

use std::ffi::c_int;
use std::fmt;

/// Done.
pub const RKNN_SUCC: c_int = 0;
/// Failed, for no reason that has a code.
pub const RKNN_ERR_FAIL: c_int = -1;
/// The NPU did not answer in time.
pub const RKNN_ERR_TIMEOUT: c_int = -2;
/// The NPU is not there, or not for us.
pub const RKNN_ERR_DEVICE_UNAVAILABLE: c_int = -3;
/// No memory.
pub const RKNN_ERR_MALLOC_FAIL: c_int = -4;
/// A wrong argument.
pub const RKNN_ERR_PARAM_INVALID: c_int = -5;
/// Not a model, or a damaged one.
pub const RKNN_ERR_MODEL_INVALID: c_int = -6;
/// Not a context, or a destroyed one.
pub const RKNN_ERR_CTX_INVALID: c_int = -7;
/// An input is missing or wrong.
pub const RKNN_ERR_INPUT_INVALID: c_int = -8;
/// An output is missing or wrong.
pub const RKNN_ERR_OUTPUT_INVALID: c_int = -9;
/// Library and driver do not go together.
pub const RKNN_ERR_DEVICE_UNMATCH: c_int = -10;
/// The model was compiled ahead for another driver. (The vendor's spelling.)
pub const RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL: c_int = -11;
/// The model's optimization level is not known to this driver. (The vendor's spelling.)
pub const RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION: c_int = -12;
/// The model was built for another chip.
pub const RKNN_ERR_TARGET_PLATFORM_UNMATCH: c_int = -13;

/// A call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The function's name.
    pub call: &'static str,
    /// What it returned.
    pub code: c_int,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (code {})", self.call, describe(self.code), self.code)
    }
}

impl std::error::Error for Error {}

/// A code as a result.
pub fn check(call: &'static str, code: c_int) -> Result<(), Error> {
    if code == RKNN_SUCC { Ok(()) } else { Err(Error { call, code }) }
}

/// A code in words.
pub fn describe(code: c_int) -> &'static str {
    match code {
        RKNN_SUCC => "done",
        RKNN_ERR_FAIL => "failed",
        RKNN_ERR_TIMEOUT => "the NPU did not answer in time",
        RKNN_ERR_DEVICE_UNAVAILABLE => "the NPU is not available",
        RKNN_ERR_MALLOC_FAIL => "out of memory",
        RKNN_ERR_PARAM_INVALID => "a parameter is invalid",
        RKNN_ERR_MODEL_INVALID => "the model is invalid",
        RKNN_ERR_CTX_INVALID => "the context is invalid",
        RKNN_ERR_INPUT_INVALID => "an input is invalid",
        RKNN_ERR_OUTPUT_INVALID => "an output is invalid",
        RKNN_ERR_DEVICE_UNMATCH => "library and driver do not go together",
        RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL => "the model was compiled for another driver",
        RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION => {
            "the model's optimization level is not known to this driver"
        }
        RKNN_ERR_TARGET_PLATFORM_UNMATCH => "the model was built for another chip",
        _ => "unknown error",
    }
}
