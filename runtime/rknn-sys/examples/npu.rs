//! Prints what the NPU and a model say of themselves: `cargo run --example npu -- model.rknn`.
//!
//! Needs a board with a Rockchip NPU and its library.

use std::ptr::null_mut;

use rknn_sys::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: npu MODEL.rknn")?;
    let mut model = std::fs::read(path)?;
    let rknn = Library::open()?;
    let mut context = 0;
    // SAFETY: `model` is as long as said.
    let code = unsafe {
        (rknn.rknn_init)(&mut context, model.as_mut_ptr().cast(), model.len() as u32, 0, null_mut())
    };
    check("rknn_init", code)?;
    let result = describe_model(&rknn, context);
    // SAFETY: the context is not used again.
    unsafe { (rknn.rknn_destroy)(context) };
    Ok(result?)
}

fn query<T: Default>(rknn: &Library, context: rknn_context, cmd: u32, mut info: T) -> Result<T, Error> {
    // SAFETY: the caller pairs command and structure.
    let code = unsafe { (rknn.rknn_query)(context, cmd, (&raw mut info).cast(), size_of::<T>() as u32) };
    check("rknn_query", code).map(|()| info)
}

fn describe_model(rknn: &Library, context: rknn_context) -> Result<(), Error> {
    let version: rknn_sdk_version = query(rknn, context, RKNN_QUERY_SDK_VERSION, Default::default())?;
    println!("library {}, driver {}", text(&version.api_version), text(&version.drv_version));
    let number: rknn_input_output_num = query(rknn, context, RKNN_QUERY_IN_OUT_NUM, Default::default())?;
    let tensors = [(RKNN_QUERY_INPUT_ATTR, number.n_input), (RKNN_QUERY_NATIVE_OUTPUT_ATTR, number.n_output)];
    for (cmd, n) in tensors {
        for index in 0..n {
            let attr = query(rknn, context, cmd, rknn_tensor_attr { index, ..Default::default() })?;
            println!(
                "{} {:?} format {} type {} zero {} scale {} ({} bytes, {} with stride)",
                text(&attr.name),
                &attr.dims[..(attr.n_dims as usize).min(RKNN_MAX_DIMS)],
                attr.fmt,
                attr.type_,
                attr.zp,
                attr.scale,
                attr.size,
                attr.size_with_stride
            );
        }
    }
    Ok(())
}
