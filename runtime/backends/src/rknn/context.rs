//! One context of the vendor's library: a model with its input and output memory.
//!
//! The memory belongs to the library and is cached by the CPU. Without flags to the contrary, the library itself
//! cleans the input's cache before a run and the output's after it.

use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use foldnet_kernels::Shape;
use rknn_sys::*;

use super::error::RknnError;

/// The format of the logits in the output.
#[derive(Clone, Copy, Debug)]
enum Logits {
    /// int8; the value is (q − zero)·scale.
    Int8 { zero: i32, scale: f32 },
    /// Half precision, as its bits.
    Float16,
    /// Single precision.
    Float32,
}

/// A model on the NPU. After it is created, nothing allocates.
pub(super) struct Context {
    library: Arc<Library>,
    handle: rknn_context,
    input: Option<NonNull<rknn_tensor_mem>>,
    output: Option<NonNull<rknn_tensor_mem>>,
    shape: Shape,
    /// The number of images per run.
    batch: usize,
    /// The distance from one row of the input to the next, in pixels.
    stride: usize,
    logits: Logits,
    /// The distance from one image's output to the next, in values.
    spread: usize,
}

// SAFETY: the library allows a context in any thread, one at a time; `&mut self` ensures that.
unsafe impl Send for Context {}

impl Context {
    /// Loads a model. With `sram`, its activations are in on-chip memory as far as they fit.
    pub fn load(library: Arc<Library>, model: &[u8], sram: bool) -> Result<Self, Error> {
        let flags = if sram { RKNN_FLAG_ENABLE_SRAM } else { 0 };
        let size = u32::try_from(model.len())
            .map_err(|_| Error { call: "rknn_init", code: RKNN_ERR_MODEL_INVALID })?;
        let mut handle = 0;
        // SAFETY: the library reads `size` bytes of the model and does not write them.
        let code = unsafe {
            (library.rknn_init)(&mut handle, model.as_ptr().cast_mut().cast(), size, flags, null_mut())
        };
        check("rknn_init", code)?;
        Ok(Self::around(library, handle))
    }

    /// Creates a second context of the same model, which must not outlive this one.
    pub fn twin(&mut self) -> Result<Self, Error> {
        let mut handle = 0;
        // SAFETY: both are valid for the call; this context is alive.
        let code = unsafe { (self.library.rknn_dup_context)(&mut self.handle, &mut handle) };
        check("rknn_dup_context", code)?;
        Ok(Self::around(self.library.clone(), handle))
    }

    fn around(library: Arc<Library>, handle: rknn_context) -> Self {
        let (shape, logits) = (Shape::default(), Logits::Float32);
        Self { library, handle, input: None, output: None, shape, batch: 1, stride: 0, logits, spread: 0 }
    }

    fn query<T>(&self, cmd: rknn_query_cmd, mut info: T) -> Result<T, Error> {
        // SAFETY: callers pair command and structure, whose size is passed.
        let code = unsafe {
            (self.library.rknn_query)(self.handle, cmd, (&raw mut info).cast(), size_of::<T>() as u32)
        };
        check("rknn_query", code).map(|()| info)
    }

    /// Returns the versions of library and driver.
    pub fn versions(&self) -> Result<(String, String), Error> {
        let version: rknn_sdk_version = self.query(RKNN_QUERY_SDK_VERSION, Default::default())?;
        Ok((text(&version.api_version), text(&version.drv_version)))
    }

    /// Restricts the context to one core.
    pub fn on_core(&mut self, core: u32) -> Result<(), Error> {
        // SAFETY: the context is alive.
        check("rknn_set_core_mask", unsafe { (self.library.rknn_set_core_mask)(self.handle, 1 << core) })
    }

    /// Allocates memory for this many images of this shape and this many logits of each.
    pub fn bind(&mut self, batch: usize, shape: Shape, classes: usize) -> Result<(), RknnError> {
        let number: rknn_input_output_num =
            self.query(RKNN_QUERY_IN_OUT_NUM, Default::default()).map_err(RknnError::later)?;
        if (number.n_input, number.n_output) != (1, 1) {
            let message = format!("{} inputs and {} outputs", number.n_input, number.n_output);
            return Err(RknnError::Misfit(message));
        }
        let mut attr: rknn_tensor_attr =
            self.query(RKNN_QUERY_INPUT_ATTR, Default::default()).map_err(RknnError::later)?;
        if attr.fmt != RKNN_TENSOR_NHWC || dims(&attr) != [batch, shape.h, shape.w, shape.c] {
            return Err(RknnError::Misfit(format!("input {:?}, not {batch} of {shape}", dims(&attr))));
        }
        let stride = if attr.w_stride == 0 { shape.w } else { attr.w_stride as usize };
        let bytes = (attr.size_with_stride as usize).max(batch * shape.h * stride * shape.c);
        // Camera bytes are passed unchanged; the NPU subtracts the mean.
        (attr.type_, attr.fmt, attr.pass_through) = (RKNN_TENSOR_UINT8, RKNN_TENSOR_NHWC, 0);
        if stride < shape.w {
            return Err(RknnError::Misfit(format!("input rows of {stride} pixels, not {}", shape.w)));
        }
        self.input = Some(self.memory(bytes, &mut attr).map_err(RknnError::later)?);
        (self.shape, self.batch, self.stride) = (shape, batch, stride);

        let mut attr: rknn_tensor_attr =
            self.query(RKNN_QUERY_NATIVE_OUTPUT_ATTR, Default::default()).map_err(RknnError::later)?;
        self.logits = match attr.type_ {
            RKNN_TENSOR_INT8 => Logits::Int8 { zero: attr.zp, scale: attr.scale },
            RKNN_TENSOR_FLOAT16 => Logits::Float16,
            RKNN_TENSOR_FLOAT32 => Logits::Float32,
            other => return Err(RknnError::Misfit(format!("logits of type {other}"))),
        };
        // With one pixel, channel c is at c, whether or not channels are in blocks (NC1HWC2: [n, c1, 1, 1, c2]).
        self.spread = match (attr.fmt, &dims(&attr)[..]) {
            (RKNN_TENSOR_NC1HWC2, [n, c1, 1, 1, c2]) if *n == batch => c1 * c2,
            (RKNN_TENSOR_NC1HWC2, _) => 0,
            (_, dims) if dims.iter().product::<usize>() == batch * classes => classes,
            _ => 0,
        };
        let element = match self.logits {
            Logits::Int8 { .. } => 1,
            Logits::Float16 => 2,
            Logits::Float32 => 4,
        };
        if self.spread < classes {
            let message = format!("output {:?}, not {batch} of {classes} logits", dims(&attr));
            return Err(RknnError::Misfit(message));
        }
        let bytes = (attr.size_with_stride.max(attr.size) as usize).max(batch * self.spread * element);
        self.output = Some(self.memory(bytes, &mut attr).map_err(RknnError::later)?);
        Ok(())
    }

    /// Allocates memory and binds it to the model as this attribute specifies.
    fn memory(
        &mut self,
        bytes: usize,
        attr: &mut rknn_tensor_attr,
    ) -> Result<NonNull<rknn_tensor_mem>, Error> {
        let none = Error { call: "rknn_create_mem", code: RKNN_ERR_MALLOC_FAIL };
        let size = u32::try_from(bytes).map_err(|_| none)?;
        // SAFETY: the context is alive.
        let memory =
            NonNull::new(unsafe { (self.library.rknn_create_mem)(self.handle, size) }).ok_or(none)?;
        // SAFETY: the library created it, and it is valid until it is destroyed.
        let seen = unsafe { memory.as_ref() };
        let code = if seen.virt_addr.is_null() || (seen.size as usize) < bytes {
            RKNN_ERR_MALLOC_FAIL
        } else {
            // SAFETY: context, memory and attribute are alive.
            unsafe { (self.library.rknn_set_io_mem)(self.handle, memory.as_ptr(), attr) }
        };
        check("rknn_set_io_mem", code).map(|()| memory).inspect_err(|_| self.free(memory))
    }

    fn free(&self, memory: NonNull<rknn_tensor_mem>) {
        // SAFETY: it belongs to this context, is alive, and is not used again.
        let code = unsafe { (self.library.rknn_destroy_mem)(self.handle, memory.as_ptr()) };
        if let Err(error) = check("rknn_destroy_mem", code) {
            tracing::warn!("{error}");
        }
    }

    /// Returns the number of images per run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the input with all its rows, or `None` before [`Self::bind`].
    fn rows(&mut self) -> Option<&mut [u8]> {
        let bytes = self.batch * self.shape.h * self.stride * self.shape.c;
        // SAFETY: `bind` allocated at least this many bytes; any byte is a pixel; nobody else writes while we hold
        // `&mut self`, and the NPU reads only inside `rknn_run`.
        self.input.map(|input| unsafe {
            std::slice::from_raw_parts_mut(input.as_ref().virt_addr.cast::<u8>(), bytes)
        })
    }

    /// Returns the input, if its rows have no margin.
    pub fn pixels(&mut self) -> Option<&mut [u8]> {
        if self.stride == self.shape.w { self.rows() } else { None }
    }

    /// Runs on images (HWC, of the shape given to [`Self::bind`]), at least one and at most a batch, and writes
    /// their logits one after another.
    pub fn run<'a>(
        &mut self,
        pictures: impl ExactSizeIterator<Item = &'a [u8]>,
        logits: &mut [f32],
    ) -> Result<(), Error> {
        let (shape, stride) = (self.shape, self.stride);
        let row = shape.w * shape.c;
        let count = pictures.len();
        assert!((1..=self.batch).contains(&count), "at most a batch of images");
        let Some(rows) = self.rows() else {
            return Err(Error { call: "rknn_run", code: RKNN_ERR_INPUT_INVALID });
        };
        for (to, pixels) in rows.chunks_exact_mut(shape.h * stride * shape.c).zip(pictures) {
            assert_eq!(pixels.len(), shape.h * row, "pixels of the network's shape");
            for (to, from) in to.chunks_exact_mut(stride * shape.c).zip(pixels.chunks_exact(row)) {
                to[..row].copy_from_slice(from);
            }
        }
        self.run_filled(count, logits)
    }

    /// Runs on the pixels in the input memory and writes the logits of the first `count` images.
    pub fn run_filled(&mut self, count: usize, logits: &mut [f32]) -> Result<(), Error> {
        let Some(output) = self.output else {
            return Err(Error { call: "rknn_run", code: RKNN_ERR_OUTPUT_INVALID });
        };
        assert!(count <= self.batch, "at most a batch of images");
        let classes = logits.len() / count;
        assert!(classes <= self.spread, "as many logits as the network has");
        // SAFETY: the context is alive and has its memories.
        check("rknn_run", unsafe { (self.library.rknn_run)(self.handle, null_mut()) })?;
        for (i, to) in logits.chunks_exact_mut(classes).enumerate() {
            // SAFETY: `bind` made it large enough for a batch of `spread` values of this type, and the NPU has
            // finished with it.
            unsafe {
                let start = output.as_ref().virt_addr;
                match self.logits {
                    Logits::Int8 { zero, scale } => {
                        let from = start.cast::<i8>().add(i * self.spread);
                        for (to, &q) in to.iter_mut().zip(std::slice::from_raw_parts(from, classes)) {
                            *to = (i32::from(q) - zero) as f32 * scale;
                        }
                    }
                    Logits::Float16 => {
                        let from = start.cast::<u16>().add(i * self.spread);
                        for (to, &bits) in to.iter_mut().zip(std::slice::from_raw_parts(from, classes)) {
                            *to = from_half(bits);
                        }
                    }
                    Logits::Float32 => {
                        let from = start.cast::<f32>().add(i * self.spread);
                        to.copy_from_slice(std::slice::from_raw_parts(from, classes));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        for memory in [self.input.take(), self.output.take()].into_iter().flatten() {
            self.free(memory);
        }
        // SAFETY: its memory has been destroyed, and it is not used again.
        let code = unsafe { (self.library.rknn_destroy)(self.handle) };
        if let Err(error) = check("rknn_destroy", code) {
            tracing::warn!("{error}");
        }
    }
}

/// Converts a half-precision number.
fn from_half(bits: u16) -> f32 {
    let (sign, rest) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
    let magnitude = if rest < 0x7c00 {
        // The exponent's bias is 15 there and 127 here; subnormal numbers are converted correctly, too.
        f32::from_bits(rest << 13) * f32::from_bits((127 + 112) << 23)
    } else {
        f32::from_bits(0x7f80_0000 | rest << 13)
    };
    f32::from_bits(sign | magnitude.to_bits())
}

fn dims(attr: &rknn_tensor_attr) -> Vec<usize> {
    attr.dims.iter().take(attr.n_dims as usize).map(|&d| d as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::from_half;

    #[test]
    fn halves() {
        let cases = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0001, 2.0_f32.powi(-24)),
            (0x83ff, -1023.0 * 2.0_f32.powi(-24)),
            (0x0400, 2.0_f32.powi(-14)),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(from_half(bits), value, "{bits:#06x}");
        }
        assert!(from_half(0x7e00).is_nan());
        // All finite values are in order, so none between the cases is wrong.
        assert!((0..0x7bff).all(|bits| from_half(bits) < from_half(bits + 1)));
    }
}
