//! Constants: weights, and values computed from constants alone.
//!
//! A node whose inputs are all constants is run at import, and its result is a constant. The shape arithmetic that
//! exporters write before a Reshape therefore never reaches the graph.

mod bound;
mod evaluate;
mod quantize;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use foldnet_kernels::MAX_VOLUME;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::tract_core::internal::*;

use super::error::ImportError;
use super::node::Problem;
pub use evaluate::evaluate;

/// A constant.
pub type Constant = Arc<Tensor>;

/// Reads a tensor of the file, or of the files beside it, after checking that it has as many numbers as its
/// dimensions require.
pub fn read(proto: &TensorProto, folder: &Path) -> Result<Constant, ImportError> {
    let bad = |problem: String| ImportError::Tensor { name: proto.name.clone(), problem };
    let size = match DataType::try_from(proto.data_type) {
        Ok(DataType::Bool | DataType::Int8 | DataType::Uint8) => 1,
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 4,
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64) => 8,
        Ok(other) => return Err(bad(format!("values of type {other:?} are not supported"))),
        Err(_) => return Err(bad(format!("type {} is not known", proto.data_type))),
    };
    let volume = proto
        .dims
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
        .filter(|&n| n <= MAX_VOLUME)
        .ok_or_else(|| bad(format!("dimensions {:?} are negative or too large", proto.dims)))?;
    if !proto.raw_data.is_empty() && proto.raw_data.len() != volume * size {
        return Err(bad(format!(
            "dimensions {:?} claim {} bytes, the file holds {}",
            proto.dims,
            volume * size,
            proto.raw_data.len()
        )));
    }
    let external = proto.external_data.iter().find(|e| e.key == "location");
    if let Some(file) = external.map(|file| &file.value)
        && !folder.join(file).is_file()
    {
        // Opening a pipe would wait forever.
        return Err(bad(format!(
            "its values are in the file {file} beside the model, which is missing or no regular file"
        )));
    }
    if proto.data_type == DataType::Bfloat16 as i32 {
        return bfloat16(proto, volume).map_err(bad);
    }
    let folder = folder.to_string_lossy();
    let onnx = tract_onnx::onnx();
    let tensor =
        guarded(|| tract_onnx::tensor::load_tensor(&*onnx.provider, proto, Some(&folder))).map_err(|e| {
            bad(match external {
                Some(file) => format!("its values are in the file {}, which cannot be read: {e}", file.value),
                None => e,
            })
        })?;
    if tensor.len() != volume {
        return Err(bad(format!("dimensions {:?}, but {} values", proto.dims, tensor.len())));
    }
    Ok(Arc::new(tensor))
}

/// Converts bfloat16 values, which are the upper halves of f32 values.
fn bfloat16(proto: &TensorProto, volume: usize) -> Result<Constant, Problem> {
    if proto.data_location == Some(DataLocation::External as i32) {
        return Err("bfloat16 values in another file are not supported".into());
    }
    let halves: Vec<u32> = match proto.raw_data.is_empty() {
        true => proto.int32_data.iter().map(|&v| u32::from(v as u16)).collect(),
        false => {
            proto.raw_data.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect()
        }
    };
    if halves.len() != volume {
        return Err(format!("dimensions {:?}, but {} values", proto.dims, halves.len()));
    }
    let values: Vec<f32> = halves.into_iter().map(|h| f32::from_bits(h << 16)).collect();
    let dims: Vec<usize> = proto.dims.iter().map(|&d| d as usize).collect();
    Tensor::from_shape(&dims, &values).map(Arc::new).map_err(|e| e.to_string())
}

/// Converts a constant to f32.
pub fn floats(constant: &Constant) -> Result<Vec<f32>, Problem> {
    let slice = || -> TractResult<Vec<f32>> {
        Ok(constant.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    };
    slice().map_err(|e| format!("a constant cannot be read as numbers: {e}"))
}

/// Converts a constant to integers.
pub fn integers(constant: &Constant) -> Result<Vec<i64>, Problem> {
    let slice = || -> TractResult<Vec<i64>> {
        Ok(constant.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    };
    slice().map_err(|e| format!("a constant cannot be read as integers: {e}"))
}

/// Creates a constant of one integer, without dimensions.
pub fn from_integer(value: i64) -> Constant {
    Arc::new(tensor0(value))
}

/// Creates a constant of integers.
pub fn from_integers(values: &[i64]) -> Constant {
    Arc::new(tensor1(values))
}

/// Runs foreign code on an untrusted file: its panics become errors, too.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    let quiet = Quiet::new();
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(quiet);
    match result {
        Ok(result) => result.map_err(|e| format!("{e:#}")),
        Err(_) => Err("the values do not fit together".into()),
    }
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// While it exists, panics on this thread are caught and not reported.
struct Quiet(bool);

impl Quiet {
    fn new() -> Self {
        Self(QUIET.replace(true))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(self.0);
    }
}

/// Returns whether a panic on this thread would be caught and become an input error; for panic hooks.
pub fn panics_are_caught() -> bool {
    QUIET.get()
}
