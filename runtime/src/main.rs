//! The program `runtime`.
fn main() {}
