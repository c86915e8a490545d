//! Reads and writes NNEF tensor files (`*.dat`): a header of 128 bytes, then the values, little-endian.
//!
//! NNEF 1.0.5, section 5.2. Three item types are supported: signed integers of 8 and 32 bits and 32-bit IEEE
//! floats.

use std::collections::HashMap;

#[cfg(any(test, feature = "write"))]
use foldnet_kernels::network::Values;
use foldnet_kernels::network::{self, GraphError};

const HEADER: usize = 128;

/// Returns the bytes of a whole file.
#[cfg(any(test, feature = "write"))]
pub(crate) fn encode(dims: &[usize], values: &Values) -> Vec<u8> {
    let (bits, kind, data): (u32, u16, Vec<u8>) = match values {
        Values::I8(v) => (8, 4, v.iter().map(|&v| v as u8).collect()),
        Values::I32(v) => (32, 4, v.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::F32(v) => (32, 0, v.iter().flat_map(|v| v.to_le_bytes()).collect()),
    };
    let mut file = vec![0; HEADER];
    file[..4].copy_from_slice(&[0x4e, 0xef, 1, 0]);
    file[4..8].copy_from_slice(&(data.len() as u32).to_le_bytes());
    file[8..12].copy_from_slice(&(dims.len() as u32).to_le_bytes());
    for (i, &d) in dims.iter().enumerate() {
        file[12 + 4 * i..16 + 4 * i].copy_from_slice(&(d as u32).to_le_bytes());
    }
    file[44..48].copy_from_slice(&bits.to_le_bytes());
    file[48..50].copy_from_slice(&kind.to_le_bytes());
    file.extend(data);
    file
}

/// The tensor files by label; each can be taken once.
pub(crate) struct Files(pub HashMap<String, Vec<u8>>);

impl Files {
    fn take(&mut self, name: &str, dims: &[usize], bits: u32, kind: u16) -> Result<Vec<u8>, GraphError> {
        let bad = |message: String| GraphError::Tensor { name: name.into(), message };
        let mut file = self.0.remove(name).ok_or_else(|| bad("missing from the archive".into()))?;
        let word = |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
        if file.len() < HEADER || file[..4] != [0x4e, 0xef, 1, 0] {
            return Err(bad("not an NNEF tensor file".into()));
        }
        let rank = word(8) as usize;
        let found: Vec<usize> = (0..rank.min(8)).map(|i| word(12 + 4 * i) as usize).collect();
        if found != dims {
            return Err(bad(format!("has shape {found:?}, the graph wants {dims:?}")));
        }
        let found_kind = u16::from_le_bytes([file[48], file[49]]);
        if (word(44), found_kind, file[50], file[51]) != (bits, kind, 0, 0) {
            return Err(bad(format!(
                "item type {found_kind} of {} bits, expected {kind} of {bits}",
                word(44)
            )));
        }
        let bytes = dims.iter().try_fold(bits as usize / 8, |n, &d| n.checked_mul(d));
        if bytes != Some(file.len() - HEADER) || word(4) as usize != file.len() - HEADER {
            return Err(bad(format!("{} bytes of values for shape {dims:?}", file.len() - HEADER)));
        }
        file.drain(..HEADER);
        Ok(file)
    }
}

impl network::Files for Files {
    fn int8s(&mut self, name: &str, dims: &[usize]) -> Result<Vec<i8>, GraphError> {
        Ok(self.take(name, dims, 8, 4)?.into_iter().map(|b| b as i8).collect())
    }

    fn int32s(&mut self, name: &str, dims: &[usize]) -> Result<Vec<i32>, GraphError> {
        let bytes = self.take(name, dims, 32, 4)?;
        Ok(bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn floats(&mut self, name: &str, dims: &[usize]) -> Result<Vec<f32>, GraphError> {
        let bytes = self.take(name, dims, 32, 0)?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}
