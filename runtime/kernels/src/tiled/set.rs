//! Assembles a kernel set: layout, blob and driver are shared, and the operators are the set's own functions.

/// Implements [`crate::KernelSet`] for `$set` with its `Kernels` and the module of its operators; on x86-64 also
/// with its measured peak: the MACs per instruction of the loop, and a function that issues 16 of them.
macro_rules! kernel_set {
    ($set:ty, $name:literal, $kernels:path, $operators:ident $(, $macs:expr, $issue:path)?) => {
        // SAFETY: sizes and offsets follow from the shapes alone (`geometry.rs`, `layout.rs`), and the shared
        // tests check them with canaries.
        unsafe impl crate::set::KernelSet for $set {
            fn name(&self) -> &'static str {
                $name
            }

            $(
                fn peak_macs_per_cycle(&self) -> Option<f64> {
                    Some($macs)
                }

                fn peak_macs_per_second(&self) -> Option<f64> {
                    // SAFETY: `self` exists only if the CPU has the features.
                    crate::x86_64::peak::measure($macs, |times| unsafe { $issue(times) })
                }
            )?

            crate::tiled::set::shared_operators!($operators);

            fn pack_conv(
                &self,
                desc: &crate::ConvDesc,
                weights: &crate::ConvWeights<'_>,
            ) -> alloc::vec::Vec<u8> {
                crate::tiled::conv::pack(desc, weights, &$kernels)
            }

            fn check_conv(&self, desc: &crate::ConvDesc, blob: &[u8]) -> bool {
                crate::tiled::conv::check(desc, blob, &$kernels)
            }

            fn conv_scratch_bytes(&self, desc: &crate::ConvDesc) -> usize {
                crate::tiled::conv::scratch_bytes(desc, &$kernels)
            }

            fn conv_tasks(&self, desc: &crate::ConvDesc) -> usize {
                crate::tiled::conv::tasks(desc, &$kernels)
            }

            unsafe fn conv(&self, args: &crate::ConvArgs<'_>, tasks: core::ops::Range<usize>) {
                // SAFETY: guaranteed by the caller; `self` exists only if the CPU has the features.
                unsafe { crate::tiled::conv::run(args, tasks, &$kernels) }
            }
        }
    };
}

/// The methods of [`crate::KernelSet`] that are the same for every set here: the layout, and the operators in one
/// module.
macro_rules! shared_operators {
    ($operators:ident) => {
        fn tensor_bytes(&self, shape: crate::Shape) -> usize {
            crate::tiled::layout::bytes(shape)
        }

        fn read_tensor(&self, shape: crate::Shape, buffer: &[u8]) -> alloc::vec::Vec<i8> {
            crate::tiled::layout::read(shape, buffer)
        }

        fn write_tensor(&self, shape: crate::Shape, values: &[i8], buffer: &mut [u8]) {
            crate::tiled::layout::write(shape, values, buffer);
        }

        fn locate(&self, shape: crate::Shape, pixel: usize, channel: usize) -> usize {
            pixel * shape.c + channel
        }

        fn flipped(&self) -> u8 {
            crate::tiled::layout::FLIPPED
        }

        crate::set::forward_operators!(
            $operators::max_pool,
            $operators::avg_pool,
            $operators::affine,
            $operators::add
        );
    };
}

/// Implements methods of [`super::vector::Vector`], each by an expression.
macro_rules! lanewise {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty { $value:expr })*) => {$(
        // WebAssembly's expressions are safe.
        #[allow(unused_unsafe)]
        #[inline(always)]
        unsafe fn $name($($argument: $kind),*) -> $result {
            // SAFETY: guaranteed by the caller.
            unsafe { $value }
        }
    )*};
}

/// Defines the operators that are generic over [`super::vector::Vector`], for one implementation of it.
macro_rules! operators {
    ($features:literal, $vector:ty) => {
        /// See [`crate::tiled::vector::Vector::finish_any`].
        ///
        /// # Safety
        /// The same as for that method.
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn finish_any<const N: usize>(
            t: &crate::tiled::epilogue::Outputs,
            e: &crate::tiled::epilogue::Epilogue,
            m: usize,
            acc: &[<$vector as crate::tiled::vector::Vector>::Ints; N],
        ) {
            use crate::tiled::epilogue::{ANY, finish_pixel};
            // SAFETY: guaranteed by the caller.
            unsafe { finish_pixel::<$vector, N, ANY>(t, e, m, *acc) }
        }

        /// See [`crate::KernelSet::affine`].
        ///
        /// # Safety
        /// The same as for that method; the CPU has the features.
        #[allow(clippy::too_many_arguments)]
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn affine(
            shape: crate::Shape,
            x_zero: i8,
            out: crate::Requant,
            gain: &[f32],
            offset: &[f32],
            x: *const u8,
            y: *mut u8,
            rows: core::ops::Range<usize>,
        ) {
            // SAFETY: guaranteed by the caller.
            unsafe { crate::tiled::affine::affine::<$vector>(shape, x_zero, out, gain, offset, x, y, rows) }
        }

        /// See [`crate::KernelSet::add`].
        ///
        /// # Safety
        /// The same as for that method; the CPU has the features.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn add(
            shape: crate::Shape,
            s: &crate::AddScalars,
            a: *const u8,
            b: *const u8,
            y: *mut u8,
            rows: core::ops::Range<usize>,
        ) {
            // SAFETY: guaranteed by the caller.
            unsafe { crate::tiled::add::add::<$vector>(shape, s, a, b, y, rows) }
        }

        /// See [`crate::KernelSet::max_pool`].
        ///
        /// # Safety
        /// The same as for that method; the CPU has the features.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn max_pool(
            d: &crate::PoolDesc,
            x: *const u8,
            y: *mut u8,
            rows: core::ops::Range<usize>,
        ) {
            // SAFETY: guaranteed by the caller.
            unsafe { crate::tiled::max_pool::max_pool::<$vector>(d, x, y, rows) }
        }

        /// See [`crate::KernelSet::avg_pool`].
        ///
        /// # Safety
        /// The same as for that method; the CPU has the features.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn avg_pool(
            shape: crate::Shape,
            s: &crate::AvgPoolScalars,
            x: *const u8,
            y: *mut u8,
        ) {
            // SAFETY: guaranteed by the caller.
            unsafe { crate::tiled::avg_pool::avg_pool::<$vector>(shape, s, x, y) }
        }
    };
}

pub(crate) use kernel_set;
pub(crate) use lanewise;
pub(crate) use operators;
pub(crate) use shared_operators;
