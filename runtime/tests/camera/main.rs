//! `runtime camera` as its users meet it.

mod broker;
mod outputs;
mod page;
mod place;
mod service;
mod soak;
mod sources;
mod teach;
