//! The plumbing of a kernel set, the same for every x86-64 set: layout, blob and walk are shared, and
//! the operators go to the set's own functions.

/// Implements [`crate::KernelSet`] for `$set` out of its `Kernels`, its module of element-wise operators,
/// and its measured peak: products per instruction of the loop, and a function that issues 16 of them.
macro_rules! kernel_set {
    ($set:ty, $name:literal, $kernels:path, $elementwise:ident, $macs:expr, $issue:path) => {
        impl crate::set::KernelSet for $set {
            fn name(&self) -> &'static str {
                $name
            }

            fn macs_per_instruction(&self) -> Option<f64> {
                Some($macs)
            }

            fn peak_macs_per_second(&self) -> Option<f64> {
                // SAFETY: having `self` means that the CPU has the features.
                crate::x86_64::peak::measure($macs, |times| unsafe { $issue(times) })
            }

            fn tensor_bytes(&self, shape: crate::Shape) -> usize {
                crate::x86_64::tensor::bytes(shape)
            }

            fn read_tensor(&self, shape: crate::Shape, buffer: &[u8]) -> alloc::vec::Vec<i8> {
                crate::x86_64::tensor::read(shape, buffer)
            }

            fn write_tensor(&self, shape: crate::Shape, values: &[i8], buffer: &mut [u8]) {
                crate::x86_64::tensor::write(shape, values, buffer);
            }

            fn locate(&self, shape: crate::Shape, pixel: usize, channel: usize) -> usize {
                pixel * shape.c + channel
            }

            fn flipped(&self) -> u8 {
                crate::x86_64::tensor::FLIPPED
            }

            fn pack_conv(
                &self,
                desc: &crate::ConvDesc,
                weights: &crate::ConvWeights<'_>,
            ) -> alloc::vec::Vec<u8> {
                crate::x86_64::conv::pack(desc, weights, &$kernels)
            }

            fn check_conv(&self, desc: &crate::ConvDesc, blob: &[u8]) -> bool {
                crate::x86_64::conv::check(desc, blob, &$kernels)
            }

            fn conv_scratch_bytes(&self, desc: &crate::ConvDesc) -> usize {
                crate::x86_64::conv::scratch_bytes(desc, &$kernels)
            }

            fn conv_tasks(&self, desc: &crate::ConvDesc) -> usize {
                crate::x86_64::conv::tasks(desc, &$kernels)
            }

            unsafe fn conv(&self, args: &crate::ConvArgs<'_>, tasks: core::ops::Range<usize>) {
                // SAFETY: the caller's contract; having `self` means that the CPU has the features.
                unsafe { crate::x86_64::conv::run(args, tasks, &$kernels) }
            }

            unsafe fn max_pool(
                &self,
                desc: &crate::PoolDesc,
                x: *const u8,
                y: *mut u8,
                rows: core::ops::Range<usize>,
            ) {
                // SAFETY: as `conv`.
                unsafe { $elementwise::max_pool(desc, x, y, rows) }
            }

            unsafe fn avg_pool(
                &self,
                shape: crate::Shape,
                scalars: &crate::AvgPoolScalars,
                x: *const u8,
                y: *mut u8,
            ) {
                // SAFETY: as `conv`.
                unsafe { $elementwise::avg_pool(shape, scalars, x, y) }
            }

            unsafe fn affine(
                &self,
                shape: crate::Shape,
                x_zero: i8,
                out: crate::Requant,
                gain: &[f32],
                offset: &[f32],
                x: *const u8,
                y: *mut u8,
                rows: core::ops::Range<usize>,
            ) {
                let pixels = rows.start * shape.w..rows.end * shape.w;
                // SAFETY: as `conv`.
                unsafe {
                    $elementwise::affine(
                        x_zero,
                        &crate::x86_64::walk::Bounds::new(out),
                        gain,
                        offset,
                        x,
                        y,
                        pixels,
                    )
                }
            }

            unsafe fn add(
                &self,
                shape: crate::Shape,
                scalars: &crate::AddScalars,
                a: *const u8,
                b: *const u8,
                y: *mut u8,
                rows: core::ops::Range<usize>,
            ) {
                let row = shape.w * shape.c;
                // SAFETY: as `conv`.
                unsafe { $elementwise::add(scalars, a, b, y, rows.start * row..rows.end * row) }
            }
        }
    };
}

pub(super) use kernel_set;
