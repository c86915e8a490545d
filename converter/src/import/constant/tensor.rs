//! The values that are known at import.

use std::borrow::Cow;

use half::f16;

use crate::import::node::Problem;
use crate::onnx::tensor_proto::DataType;

/// The type of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
}

impl Kind {
    /// Returns the type that ONNX calls this; bfloat16 is kept as f32, which contains it.
    pub fn of(data_type: DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Bool => Self::Bool,
            DataType::Uint8 => Self::U8,
            DataType::Uint16 => Self::U16,
            DataType::Uint32 => Self::U32,
            DataType::Uint64 => Self::U64,
            DataType::Int8 => Self::I8,
            DataType::Int16 => Self::I16,
            DataType::Int32 => Self::I32,
            DataType::Int64 => Self::I64,
            DataType::Float16 => Self::F16,
            DataType::Float | DataType::Bfloat16 => Self::F32,
            DataType::Double => Self::F64,
            _ => return None,
        })
    }

    /// Returns whether the numbers are floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// Returns an integer's remainder in this type, as when it is written to memory of that size.
    fn wrapped(self, v: i64) -> i64 {
        match self {
            Self::Bool => i64::from(v != 0),
            Self::U8 => i64::from(v as u8),
            Self::U16 => i64::from(v as u16),
            Self::U32 => i64::from(v as u32),
            Self::I8 => i64::from(v as i8),
            Self::I16 => i64::from(v as i16),
            Self::I32 => i64::from(v as i32),
            _ => v,
        }
    }

    /// Rounds a number to this type; to an integer, it is cut towards zero.
    fn rounded(self, v: f64) -> f64 {
        match self {
            Self::F16 => f64::from(f16::from_f64(v)),
            Self::F32 => f64::from(v as f32),
            Self::F64 => v,
            Self::Bool => f64::from(u8::from(v != 0.0)),
            _ => self.wrapped(v as i64) as f64,
        }
    }
}

/// Numbers with dimensions, the last of which varies fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    kind: Kind,
    dims: Vec<usize>,
    numbers: Numbers,
}

/// The numbers, in the smallest of three types that holds the tensor's own.
#[derive(Clone, Debug, PartialEq)]
enum Numbers {
    Float(Vec<f32>),
    Double(Vec<f64>),
    Integer(Vec<i64>),
}

impl Tensor {
    /// Creates a tensor of f32.
    pub fn of_floats(dims: &[usize], values: Vec<f32>) -> Result<Self, Problem> {
        Self::checked(Kind::F32, dims, Numbers::Float(values))
    }

    /// Creates a tensor of integers or Booleans, each wrapped to the type.
    pub fn of_integers(kind: Kind, dims: &[usize], mut values: Vec<i64>) -> Result<Self, Problem> {
        values.iter_mut().for_each(|v| *v = kind.wrapped(*v));
        match kind.is_float() {
            false => Self::checked(kind, dims, Numbers::Integer(values)),
            true => Self::of_numbers(kind, dims, values.into_iter().map(|v| v as f64)),
        }
    }

    /// Creates a tensor of any type; numbers are rounded to it.
    pub fn of_numbers(
        kind: Kind,
        dims: &[usize],
        values: impl IntoIterator<Item = f64>,
    ) -> Result<Self, Problem> {
        let values = values.into_iter().map(|v| kind.rounded(v));
        let numbers = match kind {
            Kind::F16 | Kind::F32 => Numbers::Float(values.map(|v| v as f32).collect()),
            Kind::F64 => Numbers::Double(values.collect()),
            _ => Numbers::Integer(values.map(|v| v as i64).collect()),
        };
        Self::checked(kind, dims, numbers)
    }

    fn checked(kind: Kind, dims: &[usize], numbers: Numbers) -> Result<Self, Problem> {
        let tensor = Self { kind, dims: dims.to_vec(), numbers };
        let volume = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        match volume == Some(tensor.len()) {
            true => Ok(tensor),
            false => Err(format!("dimensions {dims:?}, but {} values", tensor.len())),
        }
    }

    /// Returns the type of the numbers.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.dims
    }

    /// Returns the number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Returns the number of numbers.
    pub fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Float(v) => v.len(),
            Numbers::Double(v) => v.len(),
            Numbers::Integer(v) => v.len(),
        }
    }

    /// Returns the numbers as f32.
    pub fn floats(&self) -> Cow<'_, [f32]> {
        match &self.numbers {
            Numbers::Float(v) => Cow::Borrowed(v),
            Numbers::Double(v) => v.iter().map(|&v| v as f32).collect(),
            Numbers::Integer(v) => v.iter().map(|&v| v as f32).collect(),
        }
    }

    /// Returns the numbers as f64, which holds all but the largest integers exactly.
    pub fn doubles(&self) -> Cow<'_, [f64]> {
        match &self.numbers {
            Numbers::Float(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Numbers::Double(v) => Cow::Borrowed(v),
            Numbers::Integer(v) => v.iter().map(|&v| v as f64).collect(),
        }
    }

    /// Returns the numbers as integers; floats are cut towards zero.
    pub fn integers(&self) -> Cow<'_, [i64]> {
        match &self.numbers {
            Numbers::Float(v) => v.iter().map(|&v| v as i64).collect(),
            Numbers::Double(v) => v.iter().map(|&v| v as i64).collect(),
            Numbers::Integer(v) => Cow::Borrowed(v),
        }
    }

    /// Converts the numbers to another type.
    pub fn cast(&self, to: Kind) -> Self {
        let cast = match &self.numbers {
            Numbers::Integer(v) => Self::of_integers(to, &self.dims, v.clone()),
            _ => Self::of_numbers(to, &self.dims, self.doubles().iter().copied()),
        };
        cast.expect("the dimensions stay")
    }

    /// Returns a tensor of numbers of several tensors of one type. A place is a tensor and an index in it; `None`
    /// is a zero.
    pub fn gathered(
        from: &[&Self],
        dims: &[usize],
        places: impl Iterator<Item = Option<(usize, usize)>>,
    ) -> Result<Self, Problem> {
        let kind = from.first().ok_or("it has no input")?.kind;
        if from.iter().any(|t| t.kind != kind) {
            return Err("its inputs are of different types".into());
        }
        let missing = "an index is out of range";
        let numbers = match kind {
            Kind::F16 | Kind::F32 => {
                let all: Vec<_> = from.iter().map(|t| t.floats()).collect();
                let pick = |place| pick(&all, place);
                Numbers::Float(places.map(pick).collect::<Option<_>>().ok_or(missing)?)
            }
            Kind::F64 => {
                let all: Vec<_> = from.iter().map(|t| t.doubles()).collect();
                let pick = |place| pick(&all, place);
                Numbers::Double(places.map(pick).collect::<Option<_>>().ok_or(missing)?)
            }
            _ => {
                let all: Vec<_> = from.iter().map(|t| t.integers()).collect();
                let pick = |place| pick(&all, place);
                Numbers::Integer(places.map(pick).collect::<Option<_>>().ok_or(missing)?)
            }
        };
        Self::checked(kind, dims, numbers)
    }
}

fn pick<T: Copy + Default>(from: &[Cow<'_, [T]>], place: Option<(usize, usize)>) -> Option<T>
where
    [T]: ToOwned<Owned = Vec<T>>,
{
    match place {
        None => Some(T::default()),
        Some((tensor, index)) => from.get(tensor)?.get(index).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_round_and_wrap_as_their_types_do() {
        let x = Tensor::of_floats(&[4], vec![300.7, -1.5, 0.1, 65_520.0]).unwrap();
        assert_eq!(*x.cast(Kind::U8).integers(), [44, 255, 0, 240]);
        assert_eq!(*x.cast(Kind::I64).integers(), [300, -1, 0, 65_520]);
        assert_eq!(*x.cast(Kind::Bool).integers(), [1, 1, 1, 1]);
        assert_eq!(x.cast(Kind::F16).floats()[2], 0.099_975_586);
        assert_eq!(x.cast(Kind::F16).floats()[3], f32::INFINITY);
    }

    #[test]
    fn large_integers_stay_exact() {
        let large = (1 << 60) + 1;
        let x = Tensor::of_integers(Kind::I64, &[], vec![large]).unwrap();
        assert_eq!(*x.cast(Kind::U64).integers(), [large]);
    }

    #[test]
    fn dimensions_must_hold_the_numbers() {
        assert!(Tensor::of_floats(&[2, 2], vec![0.0; 3]).is_err());
        assert!(Tensor::of_floats(&[usize::MAX, 2], vec![0.0; 3]).is_err());
    }
}
