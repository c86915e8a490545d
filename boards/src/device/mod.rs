//! The part that runs on a Linux board.
//!
//! Everything lies below one folder, by default `~/.local/share/foldnet`:
//!
//! ```text
//! foldnet-agent        this program; systemd's unit or the start-up script calls it
//! current -> slots/a   what runs; switched by renaming a symbolic link over it
//! slots/a, slots/b     runtime, archive, signature and release.json of a release each
//! state.json           which releases the slots hold, and a trial in progress
//! agents/              the agent of the session, by checksum, as `boards` sends it
//! incoming/            files on their way, by checksum; what came before a break is kept
//! keys/                public keys; with one there, only signed archives are taken
//! lock, run/, cache/   one change at a time; the supervisor's state; compiled plans
//! ```
//!
//! A file is complete and on disk before anything points to it, so that a power cut leaves the old
//! release or the new one. A switch is a trial until the new release has proved itself: a trial found at
//! the next start was cut short, and is taken back. Nothing here reads the wall clock.

pub mod doctor;
pub(crate) mod files;
mod health;
mod install;
mod lock;
mod receive;
pub mod service;
pub mod session;
mod signature;
mod slots;

pub use slots::Device;
