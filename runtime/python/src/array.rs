//! NumPy arrays as slices, without a copy.
//!
//! The buffer protocol belongs to the stable ABI from Python 3.11 on only, so arrays are read through NumPy's own
//! `__array_interface__`.

use std::marker::PhantomData;
use std::slice;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// A number that NumPy arrays hold.
pub trait Number: Copy {
    /// NumPy's name for it.
    const TYPE: &'static str;
}

impl Number for u8 {
    const TYPE: &'static str = "|u1";
}

impl Number for f32 {
    const TYPE: &'static str = if cfg!(target_endian = "little") { "<f4" } else { ">f4" };
}

/// An array's numbers, C-contiguous. It keeps the array alive.
pub struct Array<'py, T> {
    _array: Bound<'py, PyAny>,
    shape: Vec<usize>,
    at: usize,
    writable: bool,
    number: PhantomData<T>,
}

impl<'py, T: Number> Array<'py, T> {
    /// Takes a NumPy array of this type of number, C-contiguous.
    pub fn of(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        if !array.is_instance(NDARRAY.import(array.py(), "numpy", "ndarray")?)? {
            return Err(PyTypeError::new_err("not a NumPy array"));
        }
        let interface = array.getattr(intern!(array.py(), "__array_interface__"))?;
        let get = |key| interface.get_item(key);
        let kind: String = get(intern!(array.py(), "typestr"))?.extract()?;
        if kind != T::TYPE {
            return Err(PyTypeError::new_err(format!("an array of {kind}, expected {}", T::TYPE)));
        }
        if !get(intern!(array.py(), "strides"))?.is_none() {
            return Err(PyValueError::new_err("the array is not C-contiguous"));
        }
        let (at, read_only): (usize, bool) = get(intern!(array.py(), "data"))?.extract()?;
        if !at.is_multiple_of(align_of::<T>()) {
            return Err(PyValueError::new_err("the array is not aligned"));
        }
        Ok(Self {
            shape: get(intern!(array.py(), "shape"))?.extract()?,
            at,
            writable: !read_only,
            _array: array.clone(),
            number: PhantomData,
        })
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its numbers, in the order of memory.
    ///
    /// # Safety
    /// Nobody writes to the array meanwhile.
    pub unsafe fn as_slice(&self) -> &[T] {
        if self.len() == 0 {
            return &[];
        }
        // SAFETY: NumPy's promise of an array with this shape and no strides, which `_array` keeps alive; aligned as
        // `of` checked, every pattern of bits is a number, and the caller's promise.
        unsafe { slice::from_raw_parts(self.at as *const T, self.len()) }
    }

    /// As [`Array::as_slice`], to write.
    ///
    /// # Safety
    /// Nobody reads or writes the array meanwhile.
    pub unsafe fn as_mut_slice(&mut self) -> PyResult<&mut [T]> {
        if !self.writable {
            return Err(PyValueError::new_err("the array is read-only"));
        }
        if self.len() == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as above.
        Ok(unsafe { slice::from_raw_parts_mut(self.at as *mut T, self.len()) })
    }
}
