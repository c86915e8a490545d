//! The epilogue: two channels of a pixel at once.

use crate::arm::common::epilogue::Epilogue;

/// Finishes a row of pixels of two channels, of which `channels` exist.
///
/// # Safety
/// See [`Epilogue::finish`].
pub(super) unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize) {
    #[cfg(target_arch = "arm")]
    if let Some(row) = Row::new(epilogue, pixels).filter(|_| channels == 2) {
        // SAFETY: guaranteed by the caller; two channels, an int8 output.
        return unsafe { if epilogue.has_skip { row_with_skip(&row) } else { row_without(&row) } };
    }
    // SAFETY: guaranteed by the caller.
    unsafe { epilogue.finish(2, channels, pixels) }
}

/// The values that the assembly reads; it relies on their order.
#[cfg(target_arch = "arm")]
#[repr(C)]
struct Row {
    sums: *const i32,
    y: *mut i8,
    stride: usize,
    pixels: usize,
    /// Zero point and lowest value, in both halfwords.
    zero: u32,
    lo: u32,
    skip: *const i8,
    skip_zero: i32,
    multiplier: [f32; 2],
    skip_multiplier: f32,
}

#[cfg(target_arch = "arm")]
impl Row {
    /// Returns `None` if the highest value is not 127, which no network needs here.
    fn new(e: &Epilogue<'_>, pixels: usize) -> Option<Self> {
        let out = e.plain().filter(|out| out.hi == i8::MAX)?;
        let both = |v: i8| u32::from(i16::from(v) as u16) * 0x1_0001;
        Some(Self {
            sums: e.sums,
            y: e.y,
            stride: e.stride,
            pixels,
            zero: both(out.zero),
            lo: both(out.lo),
            skip: e.skip,
            skip_zero: e.scalars.skip_zero.into(),
            // SAFETY: a panel has two channels.
            multiplier: unsafe { [*e.multiplier, *e.multiplier.add(1)] },
            skip_multiplier: e.scalars.skip_multiplier,
        })
    }
}

/// Rounds s0 and s1, adds the zero point, clamps, stores two channels, and advances to the next pixel.
#[cfg(target_arch = "arm")]
macro_rules! round_and_store {
    () => {
        "vcvtr.s32.f32 s0, s0
         vcvtr.s32.f32 s1, s1
         vmov r4, r5, s0, s1
         ssat r4, #16, r4
         ssat r5, #16, r5
         pkhbt r4, r4, r5, lsl #16
         qadd16 r4, r4, r6
         ssat16 r4, #8, r4
         ssub16 r5, r4, r12
         sel r4, r4, r12
         strb r4, [r1]
         lsrs r4, r4, #16
         strb r4, [r1, #1]
         add r1, r1, r2
         subs r3, r3, #1
         bne 2b"
    };
}

/// Computes `y = max(sat8(rne(sum·m) + zero), lo)` for two channels of each pixel.
///
/// Rounding before clamping gives the same result as the definition's order, since the bounds are integers. No
/// value here is a NaN, since [`super::Dsp`] admits no multiplier near infinity. `vcvtr` rounds in the FPSCR's
/// mode, which is to nearest even unless other code changes it.
///
/// # Safety
/// The fields are correct.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
unsafe extern "C" fn row_without(row: *const Row) {
    core::arch::naked_asm!(
        ".arch armv7e-m",
        ".fpu fpv4-sp-d16",
        "push {{r4-r6}}",
        // Sums, y, stride, pixels; zero and lo to r6, r12.
        "add r4, r0, #32",
        "vldmia r4, {{s4, s5}}",
        "ldrd r6, r12, [r0, #16]",
        "ldm r0, {{r0-r3}}",
        "2:",
        "vldmia r0!, {{s0, s1}}",
        "vcvt.f32.s32 s0, s0",
        "vcvt.f32.s32 s1, s1",
        "vmul.f32 s0, s0, s4",
        "vmul.f32 s1, s1, s5",
        round_and_store!(),
        "pop {{r4-r6}}",
        "bx lr",
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
        ".arch armv7e-m",
        ".fpu fpv4-sp-d16",
        "push {{r4-r8}}",
        // Sums, y, stride, pixels; zero and lo to r6, r12; skip and its zero point to r7, r8.
        "add r4, r0, #32",
        "vldmia r4, {{s4-s6}}",
        "ldrd r6, r12, [r0, #16]",
        "ldrd r7, r8, [r0, #24]",
        "ldm r0, {{r0-r3}}",
        "2:",
        "ldrsb r4, [r7]",
        "ldrsb r5, [r7, #1]",
        "add r7, r7, r2",
        "sub r4, r4, r8",
        "sub r5, r5, r8",
        "vmov s2, s3, r4, r5",
        "vldmia r0!, {{s0, s1}}",
        "vcvt.f32.s32 s2, s2",
        "vcvt.f32.s32 s3, s3",
        "vcvt.f32.s32 s0, s0",
        "vcvt.f32.s32 s1, s1",
        "vmul.f32 s0, s0, s4",
        "vmul.f32 s1, s1, s5",
        "vmul.f32 s2, s2, s6",
        "vmul.f32 s3, s3, s6",
        "vadd.f32 s0, s0, s2",
        "vadd.f32 s1, s1, s3",
        round_and_store!(),
        "pop {{r4-r8}}",
        "bx lr",
    )
}
