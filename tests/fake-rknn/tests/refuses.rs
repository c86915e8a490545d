//! The fake refuses and counts what the vendor's documentation forbids; else nothing tested against it is
//! tested.

use std::ffi::c_int;
use std::ptr::null_mut;

use fake_rknn::{Model, fake_rknn_complaints};
use foldnet_archive::testing::{every_step, manifest};
use rknn_sys::*;

// One test: the counter is the process's. The library is linked in, so its functions are called by name.
unsafe extern "C" {
    fn rknn_init(
        c: *mut rknn_context,
        m: *mut std::ffi::c_void,
        s: u32,
        f: u32,
        e: *mut rknn_init_extend,
    ) -> c_int;
    fn rknn_destroy(c: rknn_context) -> c_int;
    fn rknn_query(c: rknn_context, cmd: rknn_query_cmd, info: *mut std::ffi::c_void, size: u32) -> c_int;
    fn rknn_create_mem(c: rknn_context, size: u32) -> *mut rknn_tensor_mem;
    fn rknn_destroy_mem(c: rknn_context, m: *mut rknn_tensor_mem) -> c_int;
    fn rknn_set_io_mem(c: rknn_context, m: *mut rknn_tensor_mem, a: *mut rknn_tensor_attr) -> c_int;
    fn rknn_set_core_mask(c: rknn_context, mask: rknn_core_mask) -> c_int;
    fn rknn_run(c: rknn_context, e: *mut rknn_run_extend) -> c_int;
}

#[test]
fn wrong_calls_are_refused_and_counted() {
    let mut model = Model::of(every_step()).pack(&manifest());
    let mut context = 0;
    let mut wrong = 0;
    let mut refused = |what: &str, code: c_int| {
        wrong += 1;
        assert_ne!(code, RKNN_SUCC, "{what}");
        assert_eq!(fake_rknn_complaints(), wrong, "{what} is counted");
    };
    // SAFETY: pointers are valid or null, and the fake checks handles; wrong ones are the point.
    unsafe {
        let (bytes, size) = (model.as_mut_ptr().cast(), model.len() as u32);
        refused("a model from nowhere", rknn_init(&mut context, null_mut(), size, 0, null_mut()));
        refused("an unknown flag", rknn_init(&mut context, bytes, size, 1 << 31, null_mut()));
        assert_eq!(rknn_init(&mut context, bytes, size, 0, null_mut()), RKNN_SUCC);

        refused("a run without memories", rknn_run(context, null_mut()));
        let mut attr = rknn_tensor_attr::default();
        let info = (&raw mut attr).cast();
        refused("too small a structure", rknn_query(context, RKNN_QUERY_INPUT_ATTR, info, 8));
        attr.index = 1;
        let whole = size_of::<rknn_tensor_attr>() as u32;
        refused("a second input", rknn_query(context, RKNN_QUERY_INPUT_ATTR, info, whole));
        attr.index = 0;
        assert_eq!(rknn_query(context, RKNN_QUERY_INPUT_ATTR, info, whole), RKNN_SUCC);
        refused("a fourth core", rknn_set_core_mask(context, 8));

        let small = rknn_create_mem(context, 16);
        attr.type_ = RKNN_TENSOR_UINT8;
        refused("too little memory", rknn_set_io_mem(context, small, &mut attr));
        let input = rknn_create_mem(context, attr.size_with_stride);
        attr.type_ = RKNN_TENSOR_FLOAT32;
        refused("pixels of another type", rknn_set_io_mem(context, input, &mut attr));
        refused("memory of nobody", rknn_set_io_mem(context, null_mut(), &mut attr));
        attr.type_ = RKNN_TENSOR_UINT8;
        assert_eq!(rknn_set_io_mem(context, input, &mut attr), RKNN_SUCC);
        refused("a run without an output", rknn_run(context, null_mut()));

        assert_eq!(rknn_destroy_mem(context, input), RKNN_SUCC);
        refused("memory freed twice", rknn_destroy_mem(context, input));
        refused("memory that outlives its context", rknn_destroy(context));
        refused("a context ended twice", rknn_destroy(context));
        refused("use after the end", rknn_run(context, null_mut()));
    }
}
