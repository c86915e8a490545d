//! What the boards' programs share.
#![no_std]
