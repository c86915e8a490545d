//! The compiler's functions for copying and clearing memory, optimized for size.
//!
//! Those that come with Rust are unrolled and take 2 kB. Hot code does not call them.

#[cfg(all(target_arch = "arm", target_os = "none"))]
core::arch::global_asm!(
    ".syntax unified",
    ".section .text.small_memory, \"ax\"",
    ".global __aeabi_memcpy8, __aeabi_memcpy4, __aeabi_memcpy",
    ".global __aeabi_memclr8, __aeabi_memclr4, __aeabi_memclr, __aeabi_memset4, __aeabi_memset",
    ".type __aeabi_memcpy8, %function",
    ".type __aeabi_memcpy4, %function",
    ".type __aeabi_memcpy, %function",
    ".type __aeabi_memclr8, %function",
    ".type __aeabi_memclr4, %function",
    ".type __aeabi_memclr, %function",
    ".type __aeabi_memset4, %function",
    ".type __aeabi_memset, %function",
    // (to, from, bytes)
    "__aeabi_memcpy8:",
    "__aeabi_memcpy4:",
    "subs r2, r2, #4",
    "blo 3f",
    "2: ldr r3, [r1], #4",
    "str r3, [r0], #4",
    "subs r2, r2, #4",
    "bhs 2b",
    "3: adds r2, r2, #4",
    "__aeabi_memcpy:",
    "4: subs r2, r2, #1",
    "blo 5f",
    "ldrb r3, [r1], #1",
    "strb r3, [r0], #1",
    "b 4b",
    "5: bx lr",
    // (to, bytes)
    "__aeabi_memclr8:",
    "__aeabi_memclr4:",
    "__aeabi_memclr:",
    "movs r2, #0",
    // (to, bytes, value)
    "__aeabi_memset4:",
    "__aeabi_memset:",
    "6: subs r1, r1, #1",
    "blo 7f",
    "strb r2, [r0], #1",
    "b 6b",
    "7: bx lr",
);
