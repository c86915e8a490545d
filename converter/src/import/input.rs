//! The model's input: one image.

use crate::onnx::ValueInfoProto;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::tensor_shape_proto::dimension::Value as Dim;
use crate::onnx::type_proto::Value as Type;
use foldnet_kernels::{MAX_SIDE, Shape};

use super::Size;
use super::node::Problem;
use super::value::Axis;

/// The image that is a model's input.
pub struct Picture {
    /// The image's shape.
    pub shape: Shape,
    /// The axis of each dimension.
    pub dims: [Option<Axis>; 4],
    /// Whether its numbers are bytes.
    pub integer: bool,
}

/// Returns the shape of the image and the axis of each dimension; `size` is used if the model leaves it open.
pub fn picture(input: &ValueInfoProto, size: Option<Size>) -> Result<Picture, Problem> {
    let Some(Type::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err("its type is not stated".into());
    };
    let integer = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double) => false,
        // Test files and old exporters do not specify it.
        Ok(DataType::Undefined) => false,
        Ok(DataType::Uint8 | DataType::Int16 | DataType::Uint16 | DataType::Int32 | DataType::Int64) => true,
        Ok(other) => return Err(format!("its values are of type {other:?}; floats or bytes are supported")),
        Err(_) => return Err(format!("its values are of type {}, which is not known", tensor.elem_type)),
    };
    let stated = tensor.shape.as_ref().map_or(&[][..], |s| &s.dim);
    let sizes: Vec<Option<i64>> = stated
        .iter()
        .map(|d| match d.value {
            Some(Dim::DimValue(v)) if v > 0 => Some(v),
            _ => None,
        })
        .collect();
    let [batch, a, b, c] = sizes[..] else {
        return Err(format!("{} dimensions; an image has four: batch, channels, rows, columns", sizes.len()));
    };
    if batch.is_some_and(|n| n != 1) {
        return Err("the batch is fixed at more than 1: export with batch 1 or a dynamic batch".into());
    }
    let [a, b, c] = with_size([a, b, c], size)?;
    let (h, w, channels, dims) = match (a, c) {
        (1..=4, _) if !(1..=4).contains(&c) || a <= c => {
            (b, c, a, [None, Some(Axis::C), Some(Axis::H), Some(Axis::W)])
        }
        (_, 1..=4) => (a, b, c, [None, Some(Axis::H), Some(Axis::W), Some(Axis::C)]),
        _ => return Err(format!("{a}×{b}×{c} is no image of one to four channels")),
    };
    let side = |n: i64| usize::try_from(n).ok().filter(|&n| n <= MAX_SIDE);
    let sides = (side(h), side(w), side(channels));
    let (Some(h), Some(w), Some(channels)) = sides else { return Err(format!("{a}×{b}×{c} is too large")) };
    let shape = Shape::new(h, w, channels);
    shape.validate().map_err(|e| format!("{shape}: {e}"))?;
    if channels != 1 && channels != 3 {
        return Err(format!("{channels} channels; images with 1 (grey) or 3 (RGB) are supported"));
    }
    Ok(Picture { shape, dims, integer })
}

/// Returns the sizes of the dimensions after the batch; open ones are taken from `size`.
fn with_size(stated: [Option<i64>; 3], size: Option<Size>) -> Result<[i64; 3], Problem> {
    let side = |n| i64::try_from(n).unwrap_or(i64::MAX);
    let size = size.map(|s| [side(s.height), side(s.width)]);
    match (stated, size) {
        ([Some(a), Some(b), Some(c)], None) => Ok([a, b, c]),
        ([a, b, c], None) => {
            let text = |n: Option<i64>| n.map_or("?".to_owned(), |n| n.to_string());
            Err(format!(
                "its dimensions are dynamic ({}×{}×{} behind the batch): give its width and height with \
                 --input-size, for example --input-size 224x224",
                text(a),
                text(b),
                text(c)
            ))
        }
        (sides, Some([h, w])) => {
            let channels = |n: Option<i64>| n.is_some_and(|n| (1..=4).contains(&n));
            // Channels come first unless only the last dimension can be the channels.
            let (sides, at) = match sides {
                [a, b, c] if channels(a) || !channels(c) => ([b, c, a], [2, 0, 1]),
                [a, b, c] => ([a, b, c], [0, 1, 2]),
            };
            let wanted = [h, w, sides[2].unwrap_or(3)];
            let fits = |i: usize, n: i64| sides[i].is_none_or(|side| side == n);
            if !(fits(0, h) && fits(1, w)) {
                let instead = if fits(0, w) && fits(1, h) {
                    format!("--input-size {h}x{w} fits: width before height")
                } else {
                    "leave out --input-size".into()
                };
                return Err(format!("the model fixes its size, which is not {w}x{h}; {instead}"));
            }
            Ok(at.map(|i| wanted[i]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_size_is_width_before_height() {
        let wide = Some(Size { width: 320, height: 240 });
        let open = |last| with_size([Some(3), None, last], wide);
        assert_eq!(open(None), Ok([3, 240, 320]));
        assert_eq!(open(Some(320)), Ok([3, 240, 320]));
        assert_eq!(with_size([None, None, Some(3)], wide), Ok([240, 320, 3]));
        let refused = open(Some(240)).unwrap_err();
        assert!(refused.contains("--input-size 240x320 fits"), "{refused}");
        let fixed = with_size([Some(3), Some(32), Some(32)], wide).unwrap_err();
        assert!(fixed.contains("leave out --input-size"), "{fixed}");
    }
}
