//! Structures that pass between program and library.

use std::ffi::{c_char, c_void};

use crate::constants::*;

/// A loaded model. 0 is none.
#[cfg(target_arch = "arm")]
pub type rknn_context = u32;
/// A loaded model. 0 is none.
#[cfg(not(target_arch = "arm"))]
pub type rknn_context = u64;

/// Numbers of inputs and outputs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rknn_input_output_num {
    /// Inputs.
    pub n_input: u32,
    /// Outputs.
    pub n_output: u32,
}

/// What is known of an input or output.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_tensor_attr {
    /// Which; set before asking.
    pub index: u32,
    /// How many of `dims` count.
    pub n_dims: u32,
    /// Dimensions, outermost first.
    pub dims: [u32; RKNN_MAX_DIMS],
    /// Name, ends with a zero.
    pub name: [c_char; RKNN_MAX_NAME_LEN],
    /// Elements.
    pub n_elems: u32,
    /// Bytes, without padding.
    pub size: u32,
    /// Order of the dimensions.
    pub fmt: rknn_tensor_format,
    /// Type of the elements.
    pub type_: rknn_tensor_type,
    /// Quantization.
    pub qnt_type: rknn_tensor_qnt_type,
    /// For [`RKNN_TENSOR_QNT_DFP`].
    pub fl: i8,
    /// Zero point, for [`RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC`].
    pub zp: i32,
    /// Scale, for the same.
    pub scale: f32,
    /// Pixels from row to row; 0 means the width. The library's to set.
    pub w_stride: u32,
    /// Bytes with the padding of rows.
    pub size_with_stride: u32,
    /// 1: bytes go to the model as they are; 0: they are normalized and quantized.
    pub pass_through: u8,
    /// Rows from image to image of a batch; 0 means the height. The caller's to set.
    pub h_stride: u32,
}

/// Time of a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rknn_perf_run {
    /// In microseconds, without inputs and outputs.
    pub run_duration: i64,
}

/// Times per layer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_perf_detail {
    /// Text; the library's.
    pub perf_data: *mut c_char,
    /// Its length.
    pub data_len: u64,
}

/// Versions, texts that end with a zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_sdk_version {
    /// Of the library, such as `2.3.2 (429f97ae6b@2025-04-09T09:09:27)`.
    pub api_version: [c_char; 256],
    /// Of the kernel's driver, such as `0.9.8`.
    pub drv_version: [c_char; 256],
}

/// Memory of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rknn_mem_size {
    /// Weights, bytes.
    pub total_weight_size: u32,
    /// Activations, bytes.
    pub total_internal_size: u32,
    /// All device memory, bytes.
    pub total_dma_allocated_size: u64,
    /// SRAM that the system keeps for the NPU.
    pub total_sram_size: u32,
    /// What is left of it.
    pub free_sram_size: u32,
    /// Nothing yet.
    pub reserved: [u32; 10],
}

/// The text given when the model was built.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_custom_string {
    /// Ends with a zero.
    pub string: [c_char; 1024],
}

/// Memory that CPU and NPU both see.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_tensor_mem {
    /// Where the CPU sees it.
    pub virt_addr: *mut c_void,
    /// Where the NPU sees it.
    pub phys_addr: u64,
    /// As a file, for other devices (DMA-BUF).
    pub fd: i32,
    /// Where in that file.
    pub offset: i32,
    /// Bytes.
    pub size: u32,
    /// The library's.
    pub flags: u32,
    /// The library's.
    pub priv_data: *mut c_void,
}

/// An input for `rknn_inputs_set`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_input {
    /// Which.
    pub index: u32,
    /// The data.
    pub buf: *mut c_void,
    /// Their bytes.
    pub size: u32,
    /// As in [`rknn_tensor_attr`].
    pub pass_through: u8,
    /// Type of what is in `buf`.
    pub type_: rknn_tensor_type,
    /// Order of what is in `buf`.
    pub fmt: rknn_tensor_format,
}

/// An output of `rknn_outputs_get`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_output {
    /// 1: the library turns it into f32.
    pub want_float: u8,
    /// 1: `buf` and `size` are the caller's.
    pub is_prealloc: u8,
    /// Which.
    pub index: u32,
    /// The data.
    pub buf: *mut c_void,
    /// Their bytes.
    pub size: u32,
}

/// More for `rknn_init`; may be null.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rknn_init_extend {
    /// A context to share with.
    pub ctx: rknn_context,
    /// Where the model begins in its file.
    pub real_model_offset: i32,
    /// The model's bytes.
    pub real_model_size: u32,
    /// A file with the model that the NPU reads itself.
    pub model_buffer_fd: i32,
    /// Its flags.
    pub model_buffer_flags: u32,
    /// Nothing yet.
    pub reserved: [u8; 112],
}

/// More for `rknn_run`; SDK 2.3.2 wants null.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rknn_run_extend {
    /// Number of the run.
    pub frame_id: u64,
    /// 1: do not wait.
    pub non_block: i32,
    /// How long to wait.
    pub timeout_ms: i32,
    /// A fence to wait for.
    pub fence_fd: i32,
}

/// More for `rknn_outputs_get`; SDK 2.3.2 wants null.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rknn_output_extend {
    /// Number of the run.
    pub frame_id: u64,
}

macro_rules! zeroed {
    ($($name:ident),*) => {$(
        impl Default for $name {
            /// All zero, as the library wants structures that it fills.
            fn default() -> Self {
                // SAFETY: integers, floats, arrays of them and raw pointers; all zero is a value of each.
                unsafe { std::mem::zeroed() }
            }
        }
    )*};
}

zeroed!(
    rknn_tensor_attr,
    rknn_perf_detail,
    rknn_sdk_version,
    rknn_custom_string,
    rknn_tensor_mem,
    rknn_input,
    rknn_output,
    rknn_init_extend
);

/// A text of the library: up to its zero, or to the end of the array.
pub fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
