//! Reads a tensor's values as real numbers or as integers.

use super::super::node::Problem;
use super::file::Tensor;
use crate::tflite::schema::{element, element_name};

/// Returns the lengths of a tensor's dimensions, all of which must be known.
pub fn dims(tensor: &Tensor<'_>) -> Result<Vec<usize>, Problem> {
    let known = tensor.shape.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
    known.ok_or_else(|| format!("the dimensions {:?} of {} are open", tensor.shape, tensor.name))
}

/// Returns the number of a constant's values, which must match its dimensions.
fn volume(tensor: &Tensor<'_>, data: &[u8], size: usize) -> Result<usize, Problem> {
    if tensor.sparse {
        return Err(format!("the constant {} is stored sparse, which is not supported", tensor.name));
    }
    let dims = dims(tensor)?;
    let volume = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match volume.filter(|n| n.checked_mul(size) == Some(data.len())) {
        Some(volume) => Ok(volume),
        None => Err(format!("the constant {} of dimensions {dims:?} has {} bytes", tensor.name, data.len())),
    }
}

/// Returns the number of bytes per value.
fn size(of: u8) -> Option<usize> {
    Some(match of {
        element::INT8 | element::UINT8 => 1,
        element::FLOAT16 | element::INT16 => 2,
        element::FLOAT32 | element::INT32 => 4,
        element::INT64 => 8,
        _ => return None,
    })
}

/// Returns values in their memory order.
fn values<T, const N: usize>(data: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|&b| of(b)).collect()
}

/// Returns the values of a constant in its own type, quantized ones not yet scaled.
pub fn raw(tensor: &Tensor<'_>) -> Result<Vec<f64>, Problem> {
    let data = tensor.data.ok_or_else(|| format!("{} is computed; a constant is supported", tensor.name))?;
    let size = size(tensor.element).ok_or_else(|| {
        let kind = element_name(tensor.element);
        format!("the constant {} has values of type {kind}, which is not supported", tensor.name)
    })?;
    volume(tensor, data, size)?;
    Ok(match tensor.element {
        element::INT8 => values(data, |b| f64::from(i8::from_le_bytes(b))),
        element::UINT8 => values(data, |b| f64::from(u8::from_le_bytes(b))),
        element::INT16 => values(data, |b| f64::from(i16::from_le_bytes(b))),
        element::FLOAT16 => values(data, |b| f64::from(half::f16::from_le_bytes(b))),
        element::INT32 => values(data, |b| f64::from(i32::from_le_bytes(b))),
        element::INT64 => values(data, |b| i64::from_le_bytes(b) as f64),
        _ => values(data, |b| f64::from(f32::from_le_bytes(b))),
    })
}

/// Returns the values of a constant: `(q − zero)·scale` if it is quantized.
pub fn floats(tensor: &Tensor<'_>) -> Result<Vec<f32>, Problem> {
    let raw = raw(tensor)?;
    if tensor.scale.is_empty() {
        return Ok(raw.into_iter().map(|v| v as f32).collect());
    }
    let dims = dims(tensor)?;
    let (count, side) = (tensor.scale.len(), dims.get(tensor.axis).copied());
    if count > 1 && side != Some(count) {
        return Err(format!("the constant {} of dimensions {dims:?} has {count} scales", tensor.name));
    }
    let behind: usize = dims.iter().skip(tensor.axis.saturating_add(1)).product();
    let real = raw.into_iter().enumerate().map(|(i, q)| {
        let at = i / behind.max(1) % count;
        ((q - tensor.zero[at] as f64) * f64::from(tensor.scale[at])) as f32
    });
    Ok(real.collect())
}

/// Returns the values of a constant that is a parameter: axes, shapes, paddings.
pub fn integers(tensor: &Tensor<'_>) -> Result<Vec<i64>, Problem> {
    match tensor.element {
        element::INT32 | element::INT64 => Ok(raw(tensor)?.into_iter().map(|v| v as i64).collect()),
        other => Err(format!("{} has values of type {}, not integers", tensor.name, element_name(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(element: u8, shape: &[i32], data: &[u8]) -> Tensor<'static> {
        let data = Some(&*Vec::leak(data.to_vec()));
        let (scale, zero) = (Vec::new(), Vec::new());
        Tensor { name: "w".into(), shape: shape.to_vec(), element, data, scale, zero, axis: 0, sparse: false }
    }

    #[test]
    fn halves_are_exact() {
        let bits = [0x3c00u16, 0xc000, 0x0001, 0x7bff, 0x3555, 0x8000, 0x7c00];
        let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
        let found = floats(&tensor(element::FLOAT16, &[7], &bytes)).unwrap();
        assert_eq!(found[..5], [1.0, -2.0, 5.960_464_5e-8, 65504.0, 0.333_251_95]);
        assert!(found[5].to_bits() == 0x8000_0000 && found[6] == f32::INFINITY);
    }

    #[test]
    fn each_channel_has_its_scale() {
        let mut weights = tensor(element::UINT8, &[2, 2], &[10, 12, 10, 12]);
        (weights.scale, weights.zero) = (vec![0.5, 2.0], vec![10, 11]);
        assert_eq!(floats(&weights), Ok(vec![0.0, 1.0, -2.0, 2.0]));
        weights.axis = 1;
        assert_eq!(floats(&weights), Ok(vec![0.0, 2.0, 0.0, 2.0]));
        weights.axis = 9;
        assert!(floats(&weights).unwrap_err().contains("2 scales"));
    }

    #[test]
    fn claims_are_held_against_the_bytes() {
        for shape in [&[3][..], &[-1], &[1 << 30, 1 << 30, 1 << 30, 1 << 30]] {
            assert!(raw(&tensor(element::INT32, shape, &[0; 8])).is_err(), "{shape:?}");
        }
        assert_eq!(
            integers(&tensor(element::INT32, &[2], &[1, 0, 0, 0, 255, 255, 255, 255])),
            Ok(vec![1, -1])
        );
        let float = integers(&tensor(element::FLOAT32, &[1], &[0; 4])).unwrap_err();
        assert!(float.contains("FLOAT32, not integers"), "{float}");
        let bool = raw(&tensor(6, &[1], &[0])).unwrap_err();
        assert!(bool.contains("BOOL"), "{bool}");
    }
}
