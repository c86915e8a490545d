//! Flags, commands and kinds. C enumerations are plain `u32`s here, because a library newer than these
//! bindings may return values that they do not name.

/// Initialization flag: allocate from SRAM what fits (RK3588).
pub const RKNN_FLAG_ENABLE_SRAM: u32 = 0x800;
/// Initialization flag: contexts share that SRAM.
pub const RKNN_FLAG_SHARE_SRAM: u32 = 0x1000;
/// Initialization flag: gather times per layer, for [`RKNN_QUERY_PERF_DETAIL`]; slows runs down.
pub const RKNN_FLAG_COLLECT_PERF_MASK: u32 = 0x8;
/// Initialization flag: medium priority; high is the default.
pub const RKNN_FLAG_PRIOR_MEDIUM: u32 = 0x1;
/// Initialization flag: low priority.
pub const RKNN_FLAG_PRIOR_LOW: u32 = 0x2;
/// Initialization flag: do not raise the priority of the process.
pub const RKNN_FLAG_DISABLE_PROC_HIGH_PRIORITY: u32 = 0x2000;
/// Initialization flag: the caller flushes inputs with `rknn_mem_sync`.
pub const RKNN_FLAG_DISABLE_FLUSH_INPUT_MEM_CACHE: u32 = 0x4000;
/// Initialization flag: the caller invalidates outputs with `rknn_mem_sync`.
pub const RKNN_FLAG_DISABLE_FLUSH_OUTPUT_MEM_CACHE: u32 = 0x8000;

/// Most dimensions of a tensor.
pub const RKNN_MAX_DIMS: usize = 16;
/// Bytes of a tensor's name, with the final zero.
pub const RKNN_MAX_NAME_LEN: usize = 256;

/// What `rknn_query` is asked.
pub type rknn_query_cmd = u32;
/// Numbers of inputs and outputs: [`crate::rknn_input_output_num`].
pub const RKNN_QUERY_IN_OUT_NUM: rknn_query_cmd = 0;
/// An input as the model has it: [`crate::rknn_tensor_attr`].
pub const RKNN_QUERY_INPUT_ATTR: rknn_query_cmd = 1;
/// An output as the model has it: [`crate::rknn_tensor_attr`].
pub const RKNN_QUERY_OUTPUT_ATTR: rknn_query_cmd = 2;
/// Times per layer as text: [`crate::rknn_perf_detail`].
pub const RKNN_QUERY_PERF_DETAIL: rknn_query_cmd = 3;
/// Time of the last run: [`crate::rknn_perf_run`].
pub const RKNN_QUERY_PERF_RUN: rknn_query_cmd = 4;
/// Versions of library and driver: [`crate::rknn_sdk_version`].
pub const RKNN_QUERY_SDK_VERSION: rknn_query_cmd = 5;
/// Memory in use: [`crate::rknn_mem_size`].
pub const RKNN_QUERY_MEM_SIZE: rknn_query_cmd = 6;
/// The text given when the model was built: [`crate::rknn_custom_string`].
pub const RKNN_QUERY_CUSTOM_STRING: rknn_query_cmd = 7;
/// An input as the NPU reads it: [`crate::rknn_tensor_attr`].
pub const RKNN_QUERY_NATIVE_INPUT_ATTR: rknn_query_cmd = 8;
/// An output as the NPU writes it: [`crate::rknn_tensor_attr`].
pub const RKNN_QUERY_NATIVE_OUTPUT_ATTR: rknn_query_cmd = 9;

/// Type of a tensor's elements.
pub type rknn_tensor_type = u32;
/// f32.
pub const RKNN_TENSOR_FLOAT32: rknn_tensor_type = 0;
/// f16.
pub const RKNN_TENSOR_FLOAT16: rknn_tensor_type = 1;
/// i8.
pub const RKNN_TENSOR_INT8: rknn_tensor_type = 2;
/// u8.
pub const RKNN_TENSOR_UINT8: rknn_tensor_type = 3;
/// i16.
pub const RKNN_TENSOR_INT16: rknn_tensor_type = 4;
/// u16.
pub const RKNN_TENSOR_UINT16: rknn_tensor_type = 5;
/// i32.
pub const RKNN_TENSOR_INT32: rknn_tensor_type = 6;
/// u32.
pub const RKNN_TENSOR_UINT32: rknn_tensor_type = 7;
/// i64.
pub const RKNN_TENSOR_INT64: rknn_tensor_type = 8;
/// One byte, 0 or 1.
pub const RKNN_TENSOR_BOOL: rknn_tensor_type = 9;

/// How a tensor is quantized.
pub type rknn_tensor_qnt_type = u32;
/// Not.
pub const RKNN_TENSOR_QNT_NONE: rknn_tensor_qnt_type = 0;
/// Real value = q · 2^−fl.
pub const RKNN_TENSOR_QNT_DFP: rknn_tensor_qnt_type = 1;
/// Real value = (q − zp) · scale.
pub const RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC: rknn_tensor_qnt_type = 2;

/// Order of a tensor's dimensions in memory.
pub type rknn_tensor_format = u32;
/// Channels first.
pub const RKNN_TENSOR_NCHW: rknn_tensor_format = 0;
/// Channels last.
pub const RKNN_TENSOR_NHWC: rknn_tensor_format = 1;
/// Channels in C1 blocks of C2, the NPU's own: `[n][c1][h][w][c2]`.
pub const RKNN_TENSOR_NC1HWC2: rknn_tensor_format = 2;
/// None of these, as for tensors of two dimensions.
pub const RKNN_TENSOR_UNDEFINED: rknn_tensor_format = 3;

/// Cores a context runs on (RK3588 has three, RK3576 two).
pub type rknn_core_mask = u32;
/// Any idle core; the default.
pub const RKNN_NPU_CORE_AUTO: rknn_core_mask = 0;
/// The first.
pub const RKNN_NPU_CORE_0: rknn_core_mask = 1;
/// The second.
pub const RKNN_NPU_CORE_1: rknn_core_mask = 2;
/// The third.
pub const RKNN_NPU_CORE_2: rknn_core_mask = 4;
/// The first two together on one image.
pub const RKNN_NPU_CORE_0_1: rknn_core_mask = 3;
/// All three together on one image.
pub const RKNN_NPU_CORE_0_1_2: rknn_core_mask = 7;
/// As many as the chip has, together.
pub const RKNN_NPU_CORE_ALL: rknn_core_mask = 0xffff;

/// Allocation flag of `rknn_create_mem2`: memory that the CPU caches.
pub const RKNN_FLAG_MEMORY_CACHEABLE: u64 = 1;
/// Allocation flag of `rknn_create_mem2`: memory that the CPU does not cache.
pub const RKNN_FLAG_MEMORY_NON_CACHEABLE: u64 = 2;
/// Allocation flag of `rknn_create_mem2`: SRAM as far as there is some.
pub const RKNN_FLAG_MEMORY_TRY_ALLOC_SRAM: u64 = 4;

/// Direction of `rknn_mem_sync`.
pub type rknn_mem_sync_mode = u32;
/// After the CPU wrote, before the NPU reads.
pub const RKNN_MEMORY_SYNC_TO_DEVICE: rknn_mem_sync_mode = 1;
/// After the NPU wrote, before the CPU reads.
pub const RKNN_MEMORY_SYNC_FROM_DEVICE: rknn_mem_sync_mode = 2;
/// Both.
pub const RKNN_MEMORY_SYNC_BIDIRECTIONAL: rknn_mem_sync_mode = 3;
