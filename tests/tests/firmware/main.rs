//! The firmware's programs: the emulated boards classify as the host does, bit for bit, and survive what can
//! go wrong; the real ones' link.
//!
//! Builds the firmware with a plan, runs it in QEMU and talks with it over its serial line. Prints what each
//! board needs: instructions, memory, flash. Where QEMU or the target is missing a test says so and does
//! nothing, or fails if `FOLDNET_REQUIRE_FIRMWARE` is set. `FOLDNET_FIRMWARE_IMAGES=1017` sends all images
//! instead of a sample; `FOLDNET_EMULATED=later` leaves them all to another run; `FOLDNET_THUMB_FROM_SOURCE`
//! builds the targets' core library with the nightly toolchain.

mod bits;
mod boards;
mod camera;
mod elf;
mod emulator;
mod link;
mod network;
mod parts;
mod plans;
