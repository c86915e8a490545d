//! The structures lie in memory as SDK 2.3.2 has them: sizes and offsets as a C compiler for a 64-bit
//! target prints them for the vendor's header.

#![cfg(target_pointer_width = "64")]

use std::mem::{align_of, offset_of, size_of};

use rknn_sys::*;

macro_rules! layout {
    ($name:ident: $size:literal, $align:literal; $($field:ident $at:literal),*) => {
        assert_eq!((size_of::<$name>(), align_of::<$name>()), ($size, $align), stringify!($name));
        $( assert_eq!(offset_of!($name, $field), $at, concat!(stringify!($name), ".", stringify!($field))); )*
    };
}

#[test]
fn structures_are_the_vendors() {
    layout!(rknn_input_output_num: 8, 4; n_input 0, n_output 4);
    layout!(rknn_tensor_attr: 376, 4; index 0, n_dims 4, dims 8, name 72, n_elems 328, size 332, fmt 336,
        type_ 340, qnt_type 344, fl 348, zp 352, scale 356, w_stride 360, size_with_stride 364,
        pass_through 368, h_stride 372);
    layout!(rknn_perf_run: 8, 8; run_duration 0);
    layout!(rknn_perf_detail: 16, 8; perf_data 0, data_len 8);
    layout!(rknn_sdk_version: 512, 1; api_version 0, drv_version 256);
    layout!(rknn_mem_size: 64, 8; total_weight_size 0, total_internal_size 4, total_dma_allocated_size 8,
        total_sram_size 16, free_sram_size 20, reserved 24);
    layout!(rknn_custom_string: 1024, 1; string 0);
    layout!(rknn_tensor_mem: 40, 8; virt_addr 0, phys_addr 8, fd 16, offset 20, size 24, flags 28,
        priv_data 32);
    layout!(rknn_input: 32, 8; index 0, buf 8, size 16, pass_through 20, type_ 24, fmt 28);
    layout!(rknn_output: 24, 8; want_float 0, is_prealloc 1, index 4, buf 8, size 16);
    layout!(rknn_init_extend: 136, 8; ctx 0, real_model_offset 8, real_model_size 12, model_buffer_fd 16,
        model_buffer_flags 20, reserved 24);
    layout!(rknn_run_extend: 24, 8; frame_id 0, non_block 8, timeout_ms 12, fence_fd 16);
    layout!(rknn_output_extend: 8, 8; frame_id 0);
    assert_eq!(size_of::<rknn_context>(), 8);
}

#[test]
fn what_is_no_library_is_said_by_name() {
    let error = Library::open_at("/nowhere/librknnrt.so").unwrap_err();
    assert!(matches!(&error, LoadError::NotFound(tried) if tried.len() == 1));
    assert!(error.to_string().contains("/nowhere/librknnrt.so"), "{error}");
    // A library, but another one: the C library is in every process.
    #[cfg(target_os = "linux")]
    {
        let error = Library::open_at("libc.so.6").unwrap_err();
        assert_eq!(error.to_string(), "libc.so.6 has no function rknn_init");
    }
}

#[test]
fn codes_are_told_in_words() {
    assert_eq!(check("rknn_run", RKNN_SUCC), Ok(()));
    let error = check("rknn_run", RKNN_ERR_TIMEOUT).unwrap_err();
    assert_eq!(error.to_string(), "rknn_run: the NPU did not answer in time (code -2)");
    let words: Vec<_> = (-14..=0).map(describe).collect();
    let mut distinct = words.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((words.len(), distinct.len(), describe(-14)), (15, 15, "unknown error"));
}
