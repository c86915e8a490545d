//! What a panic does.
//!
//! A program calls one of the two once. [`crate::no_panic!`]: nothing, for there is none. Its handler refers to
//! a function that does not exist, so the program links only if the compiler has removed every path to a panic.
//! [`crate::reset_on_panic!`]: the processor starts anew; for programs on a HAL that can panic.

/// Defines the panic handler that must never be linked.
#[macro_export]
macro_rules! no_panic {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            unsafe extern "C" {
                fn a_panic_is_reachable() -> !;
            }
            // SAFETY: this does not link, so it is never called.
            unsafe { a_panic_is_reachable() }
        }
    };
}

/// Defines the panic handler that resets the processor.
#[macro_export]
macro_rules! reset_on_panic {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            cortex_m::peripheral::SCB::sys_reset()
        }
    };
}
