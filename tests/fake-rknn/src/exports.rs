//! The functions of the interface.

// Safety of all of them is stated once, in `rknn_sys::Library`.
#![allow(clippy::missing_safety_doc)]

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Mutex};

use foldnet::aligned::Aligned;
use rknn_sys::*;

use crate::context::{Context, Memory, complain, with_context, with_device};
use crate::model::{Fault, Model};

/// How many calls were wrong since the library was loaded.
#[unsafe(no_mangle)]
pub extern "C" fn fake_rknn_complaints() -> usize {
    with_device(|d| d.complaints)
}

/// How many contexts are alive.
#[unsafe(no_mangle)]
pub extern "C" fn fake_rknn_alive() -> usize {
    with_device(|d| d.contexts.len())
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.into())
}

fn add(context: Context) -> rknn_context {
    with_device(|d| {
        d.next += 1;
        d.contexts.insert(d.next, Arc::new(Mutex::new(context)));
        d.next
    })
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_init(
    context: *mut rknn_context,
    model: *mut c_void,
    size: u32,
    flag: u32,
    extend: *mut rknn_init_extend,
) -> c_int {
    if context.is_null() || model.is_null() || size == 0 || !extend.is_null() {
        return complain(RKNN_ERR_PARAM_INVALID, "rknn_init: null, or a model by file name");
    }
    if flag & !RKNN_FLAG_ENABLE_SRAM != 0 {
        return complain(RKNN_ERR_PARAM_INVALID, format!("rknn_init: flags {flag:#x} are not in the fake"));
    }
    // SAFETY: the caller vouches for `size` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(model.cast::<u8>(), size as usize) };
    // A damaged model is the file's fault, not the caller's: no complaint.
    let Some(model) = Model::unpack(bytes) else { return RKNN_ERR_MODEL_INVALID };
    match Fault::from_environment().unwrap_or(model.fault) {
        Fault::Init => return RKNN_ERR_FAIL,
        Fault::NoDevice => return RKNN_ERR_DEVICE_UNAVAILABLE,
        Fault::DriverMismatch => return RKNN_ERR_DEVICE_UNMATCH,
        _ => {}
    }
    if model.target != setting("FAKE_RKNN_CHIP", "rk3588") {
        return RKNN_ERR_TARGET_PLATFORM_UNMATCH;
    }
    let Some(new) = Context::new(Arc::new(model)) else { return RKNN_ERR_MODEL_INVALID };
    // SAFETY: not null, and the caller's to be written.
    unsafe { *context = add(new) };
    RKNN_SUCC
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_dup_context(from: *mut rknn_context, to: *mut rknn_context) -> c_int {
    if from.is_null() || to.is_null() {
        return complain(RKNN_ERR_PARAM_INVALID, "rknn_dup_context: null");
    }
    let mut new = None;
    // SAFETY: not null, and the caller's to be read.
    let code = with_context(unsafe { *from }, "rknn_dup_context", |context| {
        if context.fault() == Fault::Dup {
            return RKNN_ERR_MALLOC_FAIL;
        }
        new = Context::new(context.model.clone());
        RKNN_SUCC
    });
    match new {
        Some(new) => {
            // SAFETY: not null, and the caller's to be written.
            unsafe { *to = add(new) };
            RKNN_SUCC
        }
        None => code,
    }
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_destroy(context: rknn_context) -> c_int {
    let left = with_device(|d| d.contexts.remove(&context));
    let Some(gone) = left else {
        return complain(RKNN_ERR_CTX_INVALID, format!("rknn_destroy: no context {context}"));
    };
    let memories = gone.lock().map_or(0, |c| c.memories.len());
    if memories > 0 {
        return complain(RKNN_ERR_FAIL, format!("rknn_destroy: {memories} memories are still there"));
    }
    RKNN_SUCC
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_query(
    context: rknn_context,
    cmd: rknn_query_cmd,
    info: *mut c_void,
    size: u32,
) -> c_int {
    fn put<T>(info: *mut c_void, size: u32, value: T) -> c_int {
        if size as usize != size_of::<T>() || !info.cast::<T>().is_aligned() {
            return complain(
                RKNN_ERR_PARAM_INVALID,
                format!("rknn_query: {size} bytes for {}", size_of::<T>()),
            );
        }
        // SAFETY: not null (checked by the caller), aligned, and of this size.
        unsafe { info.cast::<T>().write(value) };
        RKNN_SUCC
    }
    if info.is_null() {
        return complain(RKNN_ERR_PARAM_INVALID, "rknn_query: null");
    }
    with_context(context, "rknn_query", |c| match cmd {
        RKNN_QUERY_IN_OUT_NUM => put(info, size, rknn_input_output_num { n_input: 1, n_output: 1 }),
        RKNN_QUERY_SDK_VERSION => {
            let mut version = rknn_sdk_version::default();
            let fill = |to: &mut [c_char], from: String| {
                to.iter_mut().zip(from.bytes()).for_each(|(to, from)| *to = from as c_char);
            };
            let library = setting("FAKE_RKNN_LIBRARY", "2.3.2");
            fill(&mut version.api_version, format!("{library} (fake@2025-04-09T09:09:27)"));
            fill(&mut version.drv_version, setting("FAKE_RKNN_DRIVER", "0.9.8"));
            put(info, size, version)
        }
        RKNN_QUERY_INPUT_ATTR | RKNN_QUERY_OUTPUT_ATTR | RKNN_QUERY_NATIVE_OUTPUT_ATTR => {
            if (size as usize) < size_of::<rknn_tensor_attr>() {
                return complain(RKNN_ERR_PARAM_INVALID, "rknn_query: too small for an attribute");
            }
            // SAFETY: at least of that size; the index is an input.
            let index = unsafe { info.cast::<u32>().read_unaligned() };
            if index != 0 {
                return complain(RKNN_ERR_PARAM_INVALID, format!("rknn_query: no tensor {index}"));
            }
            put(
                info,
                size,
                match cmd {
                    RKNN_QUERY_INPUT_ATTR => c.input_attr(),
                    _ => c.output_attr(cmd == RKNN_QUERY_NATIVE_OUTPUT_ATTR),
                },
            )
        }
        _ => complain(RKNN_ERR_PARAM_INVALID, format!("rknn_query: command {cmd} is not in the fake")),
    })
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_set_core_mask(context: rknn_context, mask: rknn_core_mask) -> c_int {
    let cores = match setting("FAKE_RKNN_CHIP", "rk3588").as_str() {
        "rk3588" => 0b111,
        "rk3576" => 0b011,
        // The other chips have one core and no such function.
        _ => return RKNN_ERR_FAIL,
    };
    with_context(context, "rknn_set_core_mask", |c| {
        if mask != RKNN_NPU_CORE_ALL && mask & !cores != 0 {
            return complain(RKNN_ERR_PARAM_INVALID, format!("rknn_set_core_mask: no cores {mask:#x}"));
        }
        c.cores = mask;
        RKNN_SUCC
    })
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_create_mem(context: rknn_context, size: u32) -> *mut rknn_tensor_mem {
    let mut result = std::ptr::null_mut();
    with_context(context, "rknn_create_mem", |c| {
        if c.fault() == Fault::Memory {
            return RKNN_ERR_MALLOC_FAIL;
        }
        if size == 0 {
            return complain(RKNN_ERR_PARAM_INVALID, "rknn_create_mem: no bytes");
        }
        let mut memory = Memory { seen: Box::default(), bytes: Aligned::zeroed(size as usize) };
        (memory.seen.virt_addr, memory.seen.size) = (memory.bytes.as_mut_ptr().cast(), size);
        memory.seen.fd = -1;
        result = &raw mut *memory.seen;
        c.memories.insert(result as usize, memory);
        RKNN_SUCC
    });
    result
}

/// See `rknn_sys::Library`. The fake has no memory of other devices.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_create_mem_from_fd(
    _context: rknn_context,
    _fd: i32,
    _virt_addr: *mut c_void,
    _size: u32,
    _offset: i32,
) -> *mut rknn_tensor_mem {
    complain(RKNN_ERR_PARAM_INVALID, "rknn_create_mem_from_fd is not in the fake");
    std::ptr::null_mut()
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_destroy_mem(context: rknn_context, mem: *mut rknn_tensor_mem) -> c_int {
    with_context(context, "rknn_destroy_mem", |c| match c.memories.remove(&(mem as usize)) {
        Some(_) => RKNN_SUCC,
        None => complain(RKNN_ERR_PARAM_INVALID, "rknn_destroy_mem: no memory of this context"),
    })
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_set_io_mem(
    context: rknn_context,
    mem: *mut rknn_tensor_mem,
    attr: *mut rknn_tensor_attr,
) -> c_int {
    with_context(context, "rknn_set_io_mem", |c| {
        let Some(memory) = c.memories.get(&(mem as usize)) else {
            return complain(RKNN_ERR_PARAM_INVALID, "rknn_set_io_mem: no memory of this context");
        };
        if attr.is_null() {
            return complain(RKNN_ERR_PARAM_INVALID, "rknn_set_io_mem: no attribute");
        }
        // SAFETY: not null, and the caller's to be read.
        let attr = unsafe { &*attr };
        let (input, output) = (c.input_attr(), c.output_attr(true));
        let same = |a: &rknn_tensor_attr| a.dims == attr.dims && a.n_dims == attr.n_dims && a.fmt == attr.fmt;
        // Which of the two it is, the attribute's name says.
        let (of, wanted) = if attr.name == input.name { ("input", &input) } else { ("output", &output) };
        let is_input = of == "input";
        if !same(wanted) || attr.name != wanted.name {
            return complain(
                RKNN_ERR_PARAM_INVALID,
                format!("rknn_set_io_mem: not the {of}'s shape or format"),
            );
        }
        let kind = if is_input { RKNN_TENSOR_UINT8 } else { wanted.type_ };
        if attr.type_ != kind || (is_input && attr.pass_through != 0) {
            return complain(
                RKNN_ERR_PARAM_INVALID,
                format!("rknn_set_io_mem: type {} for the {of}", attr.type_),
            );
        }
        if memory.bytes.len() < wanted.size_with_stride as usize {
            return complain(RKNN_ERR_PARAM_INVALID, format!("rknn_set_io_mem: too few bytes for the {of}"));
        }
        if is_input {
            c.input = Some(mem as usize)
        } else {
            c.output = Some(mem as usize)
        }
        RKNN_SUCC
    })
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_mem_sync(
    context: rknn_context,
    mem: *mut rknn_tensor_mem,
    mode: rknn_mem_sync_mode,
) -> c_int {
    with_context(context, "rknn_mem_sync", |c| {
        if !c.memories.contains_key(&(mem as usize)) || !(1..=3).contains(&mode) {
            return complain(RKNN_ERR_PARAM_INVALID, "rknn_mem_sync: no memory, or no direction");
        }
        RKNN_SUCC
    })
}

/// See `rknn_sys::Library`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_run(context: rknn_context, extend: *mut rknn_run_extend) -> c_int {
    if !extend.is_null() {
        return complain(RKNN_ERR_PARAM_INVALID, "rknn_run: the extension must be null");
    }
    with_context(context, "rknn_run", Context::run)
}

/// See `rknn_sys::Library`. The fake works through memories only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_inputs_set(_: rknn_context, _: u32, _: *mut rknn_input) -> c_int {
    complain(RKNN_ERR_INPUT_INVALID, "rknn_inputs_set is not in the fake")
}

/// See `rknn_sys::Library`. The fake works through memories only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_outputs_get(
    _: rknn_context,
    _: u32,
    _: *mut rknn_output,
    _: *mut rknn_output_extend,
) -> c_int {
    complain(RKNN_ERR_OUTPUT_INVALID, "rknn_outputs_get is not in the fake")
}

/// See `rknn_sys::Library`. The fake works through memories only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rknn_outputs_release(_: rknn_context, _: u32, _: *mut rknn_output) -> c_int {
    complain(RKNN_ERR_OUTPUT_INVALID, "rknn_outputs_release is not in the fake")
}
