//! Reads tensors of the file, and of the files beside it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};
use std::sync::Arc;

use foldnet_kernels::MAX_VOLUME;
use half::{bf16, f16};

use super::Constant;
use super::tensor::{Kind, Tensor};
use crate::import::error::ImportError;
use crate::import::node::Problem;
use crate::onnx::TensorProto;
use crate::onnx::tensor_proto::{DataLocation, DataType};

/// Reads a tensor after checking that it has as many numbers as its dimensions require. `folder` is that of the
/// model.
pub fn read(proto: &TensorProto, folder: &Path) -> Result<Constant, ImportError> {
    let bad = |problem: String| ImportError::Tensor { name: proto.name.clone(), problem };
    let data_type = DataType::try_from(proto.data_type)
        .map_err(|_| bad(format!("type {} is not known", proto.data_type)))?;
    tensor(proto, data_type, folder).map(Arc::new).map_err(bad)
}

fn tensor(proto: &TensorProto, data_type: DataType, folder: &Path) -> Result<Tensor, Problem> {
    let kind =
        Kind::of(data_type).ok_or_else(|| format!("values of type {data_type:?} are not supported"))?;
    let dims: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let volume = dims.as_ref().and_then(|dims| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)));
    let (dims, volume) = dims
        .zip(volume.filter(|&n| n <= MAX_VOLUME))
        .ok_or_else(|| format!("dimensions {:?} are negative or too large", proto.dims))?;
    let size = bytes_per_number(data_type);
    let external =
        proto.data_location == Some(DataLocation::External as i32) || !proto.external_data.is_empty();
    if external {
        return raw(data_type, &dims, &external_bytes(proto, volume * size, folder)?);
    }
    if !proto.raw_data.is_empty() {
        if proto.raw_data.len() != volume * size {
            return Err(format!(
                "dimensions {:?} claim {} bytes, the file holds {}",
                proto.dims,
                volume * size,
                proto.raw_data.len()
            ));
        }
        return raw(data_type, &dims, &proto.raw_data);
    }
    match data_type {
        DataType::Float => Tensor::of_floats(&dims, proto.float_data.clone()),
        DataType::Double => Tensor::of_numbers(kind, &dims, proto.double_data.iter().copied()),
        DataType::Int64 => Tensor::of_integers(kind, &dims, proto.int64_data.clone()),
        DataType::Uint32 | DataType::Uint64 => {
            Tensor::of_integers(kind, &dims, proto.uint64_data.iter().map(|&v| v as i64).collect())
        }
        DataType::Float16 | DataType::Bfloat16 => {
            let bytes: Vec<u8> = proto.int32_data.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect();
            raw(data_type, &dims, &bytes)
        }
        _ => Tensor::of_integers(kind, &dims, proto.int32_data.iter().map(|&v| i64::from(v)).collect()),
    }
}

fn bytes_per_number(data_type: DataType) -> usize {
    match data_type {
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 2,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        _ => 1,
    }
}

/// Converts little-endian numbers.
fn raw(data_type: DataType, dims: &[usize], bytes: &[u8]) -> Result<Tensor, Problem> {
    let kind = Kind::of(data_type).ok_or("the type is not supported")?;
    fn split<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
        bytes.as_chunks::<N>().0.iter().copied()
    }
    let integers = |values: Vec<i64>| Tensor::of_integers(kind, dims, values);
    match data_type {
        DataType::Float => Tensor::of_floats(dims, split(bytes).map(f32::from_le_bytes).collect()),
        DataType::Double => Tensor::of_numbers(kind, dims, split(bytes).map(f64::from_le_bytes)),
        DataType::Float16 => {
            Tensor::of_numbers(kind, dims, split(bytes).map(|b| f64::from(f16::from_le_bytes(b))))
        }
        DataType::Bfloat16 => {
            Tensor::of_floats(dims, split(bytes).map(|b| f32::from(bf16::from_le_bytes(b))).collect())
        }
        DataType::Int8 => integers(bytes.iter().map(|&b| i64::from(b as i8)).collect()),
        DataType::Uint8 | DataType::Bool => integers(bytes.iter().map(|&b| i64::from(b)).collect()),
        DataType::Int16 => integers(split(bytes).map(i16::from_le_bytes).map(i64::from).collect()),
        DataType::Uint16 => integers(split(bytes).map(u16::from_le_bytes).map(i64::from).collect()),
        DataType::Int32 => integers(split(bytes).map(i32::from_le_bytes).map(i64::from).collect()),
        DataType::Uint32 => integers(split(bytes).map(u32::from_le_bytes).map(i64::from).collect()),
        _ => integers(split(bytes).map(i64::from_le_bytes).collect()),
    }
}

/// Reads the bytes of a tensor that are in another file.
fn external_bytes(proto: &TensorProto, size: usize, folder: &Path) -> Result<Vec<u8>, Problem> {
    let property = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let file = property("location").ok_or("its values are in another file, which is not named")?;
    // As the format requires, so that a model cannot read any file of the computer.
    if Path::new(file).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("its values are in the file {file}, which is outside of the model's folder"));
    }
    let path = folder.join(file);
    // Opening a pipe would wait forever.
    if !path.is_file() {
        return Err(format!(
            "its values are in the file {file} beside the model, which is missing or no regular file"
        ));
    }
    let number = |key: &str| property(key).map(|v| v.parse::<u64>().map_err(|_| format!("its {key} is {v}")));
    let offset = number("offset").transpose()?.unwrap_or(0);
    if let Some(length) = number("length").transpose()?.filter(|&length| length != size as u64) {
        return Err(format!(
            "dimensions {:?} claim {size} bytes, the file {file} holds {length}",
            proto.dims
        ));
    }
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|mut from| {
        from.seek(SeekFrom::Start(offset))?;
        from.take(size as u64).read_to_end(&mut bytes)
    });
    read.map_err(|e| format!("its values are in the file {file}, which cannot be read: {e}"))?;
    match bytes.len() == size {
        true => Ok(bytes),
        false => Err(format!(
            "its values are in the file {file}, which ends {} bytes too early",
            size - bytes.len()
        )),
    }
}
