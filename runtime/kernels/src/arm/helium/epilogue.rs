//! The epilogue: four channels of a pixel at once.

use crate::arm::common::epilogue::Epilogue;

/// Finishes a row of pixels of four channels, of which `channels` exist.
///
/// # Safety
/// See [`Epilogue::finish`].
pub(super) unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize) {
    #[cfg(target_arch = "arm")]
    if let Some(row) = Row::new(epilogue, pixels).filter(|_| channels == 4) {
        // SAFETY: guaranteed by the caller; four channels, an int8 output.
        return unsafe { if epilogue.has_skip { row_with_skip(&row) } else { row_without(&row) } };
    }
    // SAFETY: guaranteed by the caller.
    unsafe { epilogue.finish(4, channels, pixels) }
}

/// The values that the assembly reads; it relies on their order.
#[cfg(target_arch = "arm")]
#[repr(C)]
struct Row {
    sums: *const i32,
    multiplier: *const f32,
    y: *mut i8,
    stride: usize,
    pixels: usize,
    lo: f32,
    hi: f32,
    zero: i32,
    skip: *const i8,
    skip_zero: i32,
    skip_multiplier: f32,
}

#[cfg(target_arch = "arm")]
impl Row {
    fn new(e: &Epilogue<'_>, pixels: usize) -> Option<Self> {
        let out = e.plain()?;
        let (lo, hi) = out.bounds();
        Some(Self {
            sums: e.sums,
            multiplier: e.multiplier,
            y: e.y,
            stride: e.stride,
            pixels,
            lo,
            hi,
            zero: out.zero.into(),
            skip: e.skip,
            skip_zero: e.scalars.skip_zero.into(),
            skip_multiplier: e.scalars.skip_multiplier,
        })
    }
}

/// Computes `y = rne(min(max(sum·m, lo), hi)) + zero` for four channels of each pixel. If one operand is a NaN,
/// `vmaxnm` and `vminnm` return the other, like [`crate::Requant::apply`]; `vcvtn` rounds to nearest even.
///
/// # Safety
/// The fields are correct.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn row_without(row: *const Row) {
    core::arch::naked_asm!(
        ".arch armv8.1-m.main",
        ".arch_extension mve.fp",
        "push {{r4-r8, lr}}",
        // Sums, multiplier, y, stride, pixels, lo, hi, zero.
        "ldm r0, {{r1-r8}}",
        "vldrw.u32 q1, [r2]",
        "vdup.32 q2, r6",
        "vdup.32 q3, r7",
        "dls lr, r5",
        "2:",
        "vldrw.u32 q0, [r1], #16",
        "vcvt.f32.s32 q0, q0",
        "vmul.f32 q0, q0, q1",
        "vmaxnm.f32 q0, q0, q2",
        "vminnm.f32 q0, q0, q3",
        "vcvtn.s32.f32 q0, q0",
        "vadd.i32 q0, q0, r8",
        "vstrb.32 q0, [r3]",
        "add r3, r3, r4",
        "le lr, 2b",
        "pop {{r4-r8, pc}}",
    )
}

/// Like the function above, with `(skip − skip_zero)·m_skip` added before rounding.
///
/// # Safety
/// The fields are correct.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn row_with_skip(row: *const Row) {
    core::arch::naked_asm!(
        ".arch armv8.1-m.main",
        ".arch_extension mve.fp",
        "push {{r4-r11, lr}}",
        "sub sp, sp, #4",
        "vpush {{d8, d9}}",
        "ldm r0!, {{r1-r8}}",
        // Skip, its zero point and multiplier.
        "ldm r0, {{r9-r11}}",
        "vldrw.u32 q1, [r2]",
        "vdup.32 q2, r6",
        "vdup.32 q3, r7",
        // Widening loads require a low register.
        "mov r6, r9",
        "dls lr, r5",
        "2:",
        "vldrb.s32 q4, [r6]",
        "vldrw.u32 q0, [r1], #16",
        "vsub.i32 q4, q4, r10",
        "vcvt.f32.s32 q0, q0",
        "vcvt.f32.s32 q4, q4",
        "vmul.f32 q0, q0, q1",
        "vmul.f32 q4, q4, r11",
        "add r6, r6, r4",
        "vadd.f32 q0, q0, q4",
        "vmaxnm.f32 q0, q0, q2",
        "vminnm.f32 q0, q0, q3",
        "vcvtn.s32.f32 q0, q0",
        "vadd.i32 q0, q0, r8",
        "vstrb.32 q0, [r3]",
        "add r3, r3, r4",
        "le lr, 2b",
        "vpop {{d8, d9}}",
        "add sp, sp, #4",
        "pop {{r4-r11, pc}}",
    )
}
