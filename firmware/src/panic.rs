//! Panic handlers.
//!
//! A program calls one of the two macros once. With [`crate::no_panic!`] there are no panics: its handler refers
//! to a function that does not exist, so the program links only if the compiler has removed every path to a panic.
//! With [`crate::reset_on_panic!`] a panic resets the processor; it is for programs on a HAL that can panic.

/// Defines the panic handler that must never be linked.
#[macro_export]
macro_rules! no_panic {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            unsafe extern "C" {
                fn a_panic_is_reachable() -> !;
            }
            // SAFETY: this code does not link, so it is never called.
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
