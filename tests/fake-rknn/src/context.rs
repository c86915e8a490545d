//! What the fake device holds: contexts and their memories.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard};

use foldnet::Session;
use foldnet_kernels::dispatch;
use rknn_sys::*;

use crate::model::{Fault, Logits, Model};

/// A memory that the CPU and the fake share.
pub struct Memory {
    /// The structure that the caller has; boxed, so that it stays where it is.
    pub seen: Box<rknn_tensor_mem>,
    /// The bytes, 64-aligned as DMA memory is.
    pub bytes: foldnet::aligned::Aligned,
}

// SAFETY: the pointers in `seen` go to `bytes`, which moves along.
unsafe impl Send for Memory {}

/// A loaded model.
pub struct Context {
    /// What it computes.
    pub model: Arc<Model>,
    /// Computes it. Its own, since contexts run side by side.
    pub session: Session,
    /// By the address of [`Memory::seen`].
    pub memories: HashMap<usize, Memory>,
    /// The memory that is the input.
    pub input: Option<usize>,
    /// The memory that is the output.
    pub output: Option<usize>,
    /// Cores it may use.
    pub cores: rknn_core_mask,
    /// Runs so far.
    pub runs: usize,
}

/// Everything.
#[derive(Default)]
pub struct Device {
    /// By handle. Each behind its own lock, so that contexts run side by side.
    pub contexts: HashMap<rknn_context, Arc<Mutex<Context>>>,
    /// The next handle.
    pub next: rknn_context,
    /// Calls that were wrong.
    pub complaints: usize,
}

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

/// Access to everything.
pub fn with_device<T>(action: impl FnOnce(&mut Device) -> T) -> T {
    let mut guard = DEVICE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    action(guard.get_or_insert_with(Device::default))
}

/// Notes a wrong call and returns its code.
pub fn complain(code: c_int, what: impl std::fmt::Display) -> c_int {
    eprintln!("fake-rknn: {what}");
    with_device(|d| d.complaints += 1);
    code
}

/// Runs an action on a context, unless the handle is wrong or another thread is in it.
pub fn with_context(handle: rknn_context, call: &str, action: impl FnOnce(&mut Context) -> c_int) -> c_int {
    let Some(context) = with_device(|d| d.contexts.get(&handle).cloned()) else {
        return complain(RKNN_ERR_CTX_INVALID, format!("{call}: no context {handle}"));
    };
    let guard: Option<MutexGuard<'_, Context>> = context.try_lock().ok();
    match guard {
        Some(mut context) => action(&mut context),
        None => complain(RKNN_ERR_FAIL, format!("{call}: two threads in context {handle}")),
    }
}

impl Context {
    /// A context for a model; `None` when the network cannot run.
    pub fn new(model: Arc<Model>) -> Option<Self> {
        let portable = dispatch::by_name("portable").ok()?;
        let session = Session::new(&model.network, portable, 1).ok()?;
        let (memories, cores) = (HashMap::new(), RKNN_NPU_CORE_AUTO);
        Some(Self { model, session, memories, input: None, output: None, cores, runs: 0 })
    }

    /// What goes wrong here.
    pub fn fault(&self) -> Fault {
        Fault::from_environment().unwrap_or(self.model.fault)
    }

    /// Pixels from row to row of the input.
    pub fn stride(&self) -> usize {
        self.model.network.input().w.next_multiple_of(self.model.rows)
    }

    /// The input as it is queried and must be set.
    pub fn input_attr(&self) -> rknn_tensor_attr {
        let (batch, shape) = (self.model.batch, self.model.network.input());
        let mut attr = named(
            rknn_tensor_attr {
                n_dims: 4,
                n_elems: batch * shape.len() as u32,
                size: batch * shape.len() as u32,
                fmt: RKNN_TENSOR_NHWC,
                type_: RKNN_TENSOR_INT8,
                qnt_type: RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC,
                scale: 1.0,
                w_stride: self.stride() as u32,
                size_with_stride: batch * (shape.h * self.stride() * shape.c) as u32,
                ..Default::default()
            },
            "pixels",
        );
        attr.dims[..4].copy_from_slice(&[batch, shape.h as u32, shape.w as u32, shape.c as u32]);
        attr
    }

    /// The output as the NPU writes it, or, when not `native`, as the model has it.
    pub fn output_attr(&self, native: bool) -> rknn_tensor_attr {
        let (logits, classes, batch) = (self.model.logits, self.model.network.classes(), self.model.batch);
        let (type_, scale, zero) = match logits {
            Logits::Half => (RKNN_TENSOR_FLOAT16, 1.0, 0),
            Logits::Int8 { scale, zero } => (RKNN_TENSOR_INT8, scale, zero),
        };
        let (fmt, dims) = if native {
            let blocks = classes.div_ceil(logits.block()) as u32;
            (RKNN_TENSOR_NC1HWC2, [batch, blocks, 1, 1, logits.block() as u32])
        } else {
            (RKNN_TENSOR_NCHW, [batch, classes as u32, 1, 1, 1])
        };
        let n_elems = dims.iter().product();
        let bytes = n_elems * logits.size() as u32;
        let mut attr = named(
            rknn_tensor_attr {
                n_dims: if native { 5 } else { 4 },
                n_elems,
                size: bytes,
                size_with_stride: bytes,
                fmt,
                type_,
                qnt_type: RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC,
                zp: i32::from(zero),
                scale,
                ..Default::default()
            },
            "logits",
        );
        attr.dims[..5].copy_from_slice(&dims);
        attr
    }

    /// Computes.
    pub fn run(&mut self) -> c_int {
        let (Some(input), Some(output)) = (self.input, self.output) else {
            return complain(RKNN_ERR_INPUT_INVALID, "rknn_run: input or output has no memory");
        };
        self.runs += 1;
        match self.fault() {
            Fault::Timeout => return RKNN_ERR_TIMEOUT,
            Fault::Lost if self.runs > 2 => return RKNN_ERR_DEVICE_UNAVAILABLE,
            _ => {}
        }
        let (shape, stride) = (self.model.network.input(), self.stride());
        let Some(memory) = self.memories.get(&input) else {
            return complain(RKNN_ERR_INPUT_INVALID, "rknn_run: the input's memory was destroyed");
        };
        let batch = self.model.batch as usize;
        let mut pixels = Vec::with_capacity(batch * shape.len());
        for row in memory.bytes.chunks_exact(stride * shape.c).take(batch * shape.h) {
            pixels.extend_from_slice(&row[..shape.w * shape.c]);
        }
        let Some(memory) = self.memories.get_mut(&output) else {
            return complain(RKNN_ERR_OUTPUT_INVALID, "rknn_run: the output's memory was destroyed");
        };
        // One pixel each: the blocks follow each other; what is padding is not to be relied on.
        memory.bytes.fill(0x55);
        let form = self.model.logits;
        let blocks = self.model.network.classes().next_multiple_of(form.block());
        let answers = memory.bytes.chunks_exact_mut(blocks * form.size());
        for (picture, to) in pixels.chunks_exact(shape.len()).zip(answers) {
            for (to, &logit) in to.chunks_exact_mut(form.size()).zip(self.session.run(picture)) {
                form.write(logit, to);
            }
        }
        RKNN_SUCC
    }
}

fn named(mut attr: rknn_tensor_attr, name: &str) -> rknn_tensor_attr {
    for (to, from) in attr.name.iter_mut().zip(name.bytes()) {
        *to = from as _;
    }
    attr
}
