//! A kernel set out of its parts: layout, blob and driver are shared, and the operators go to the set's own functions.

/// Implements [`crate::KernelSet`] for `$set` out of its `Kernels` and its module of element-wise operators; on x86-64
/// also its measured peak: products per instruction of the loop, and a function that issues 16 of them.
macro_rules! kernel_set {
    ($set:ty, $name:literal, $kernels:path, $elementwise:ident $(, $macs:expr, $issue:path)?) => {
        // SAFETY: sizes and places follow from the shapes alone (`geometry.rs`, `layout.rs`), and the shared
        // tests check them against canaries.
        unsafe impl crate::set::KernelSet for $set {
            fn name(&self) -> &'static str {
                $name
            }

            $(
                fn peak_macs_per_cycle(&self) -> Option<f64> {
                    Some($macs)
                }

                fn peak_macs_per_second(&self) -> Option<f64> {
                    // SAFETY: having `self` means that the CPU has the features.
                    crate::x86_64::peak::measure($macs, |times| unsafe { $issue(times) })
                }
            )?

            crate::tiled::set::shared_operators!($elementwise);

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
                // SAFETY: the caller's contract; having `self` means that the CPU has the features.
                unsafe { crate::tiled::conv::run(args, tasks, &$kernels) }
            }
        }
    };
}

/// The methods of [`crate::KernelSet`] that are the same for every set here: the layout, and the operators of a
/// module of element-wise ones.
macro_rules! shared_operators {
    ($elementwise:ident) => {
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
            $elementwise::max_pool,
            $elementwise::avg_pool,
            $elementwise::affine,
            $elementwise::add
        );
    };
}

pub(crate) use kernel_set;
pub(crate) use shared_operators;
