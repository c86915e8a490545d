//! The program `converter`.
fn main() {}
