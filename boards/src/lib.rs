//! From an archive to running boards.
//!
//! The crate `foldnet-catalogue` knows the boards. Everything that changes a board happens in
//! [`device`], the part that runs there as the program `foldnet-agent`.

#[cfg(feature = "cli")]
pub mod cmd;
pub mod device;
#[cfg(feature = "cli")]
pub mod fit;
#[cfg(feature = "cli")]
pub mod fleet;
#[cfg(feature = "cli")]
pub mod link;
#[cfg(feature = "cli")]
pub mod oci;
pub mod protocol;
#[cfg(feature = "cli")]
pub mod remote;
#[cfg(feature = "cli")]
pub mod source;
#[cfg(feature = "cli")]
pub mod steps;
pub mod sum;
#[cfg(feature = "cli")]
pub mod uf2;
#[cfg(feature = "cli")]
pub mod virtual_board;
