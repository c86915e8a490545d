//! `runtime camera` as its users meet it.

mod broker;
mod kept;
mod outputs;
mod page;
mod place;
mod rules;
mod service;
mod soak;
mod sources;
mod teach;
