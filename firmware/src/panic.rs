//! What a panic would do: nothing, for there is none.
//!
//! A program calls [`crate::no_panic!`] once. Its handler refers to a function that does not exist, so
//! the program links only if the compiler has removed every path to a panic.

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
