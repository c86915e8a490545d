//! What a call through the C interface costs beyond the call in Rust, on pixels of the network's own size:
//! `cargo run --release -p foldnet-capi --example overhead -- model.nnef.tgz`.
//!
//! The two are called in turn, each on a network of its own. Of each the fastest hundredth is compared, since whatever
//! else the machine does only makes calls slower.

// A library for C has nothing that a program in Rust could link.
#[path = "../src/lib.rs"]
#[allow(dead_code)]
mod capi;

use std::error::Error;
use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use capi::classifier::{Classifier, Options, foldnet_close, foldnet_open};
use capi::image::{Image, Plane};
use capi::run::foldnet_logits;
use capi::status::Status;

const ROUNDS: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let archive = std::env::args().nth(1).ok_or("usage: overhead ARCHIVE")?;
    let mut rust = engine::Classifier::builder().threads(1).open(&archive)?;
    let mut c: *mut Classifier = ptr::null_mut();
    let (path, options) = (CString::new(archive)?, Options { threads: 1, kernels: ptr::null() });
    // SAFETY: a string, options and a place for a pointer.
    let status = unsafe { foldnet_open(path.as_ptr(), &options, &mut c) };
    if status != Status::Ok {
        return Err(format!("{status:?}").into());
    }
    let shape = rust.input_shape();
    let pixels: Vec<u8> = (0..shape.len()).map(|i| (i * 37) as u8).collect();
    let none = Plane { data: ptr::null(), size: 0, stride: 0 };
    let image = Image {
        format: if shape.c == 3 { capi::image::Format::Rgb } else { capi::image::Format::Grey } as u32,
        width: shape.w as u32,
        height: shape.h as u32,
        matrix: 0,
        range: 0,
        planes: [Plane { data: pixels.as_ptr(), size: pixels.len(), stride: 0 }, none, none],
    };
    let mut logits = vec![0.0; rust.session().classes()];
    let (mut rust_times, mut c_times) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        let start = Instant::now();
        // SAFETY: a classifier, an image of a slice, and an array of as many numbers.
        let status = unsafe { foldnet_logits(c, &image, logits.as_mut_ptr(), logits.len()) };
        c_times.push(start.elapsed());
        let start = Instant::now();
        let expected = rust.logits(&pixels)?;
        rust_times.push(start.elapsed());
        if status != Status::Ok || expected != logits {
            return Err("the two have different answers".into());
        }
    }
    // SAFETY: opened above.
    unsafe { foldnet_close(&mut c) };
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let (rust, c) = (micros(median(rust_times)), micros(median(c_times)));
    println!(
        "{ROUNDS} calls in turn, medians: Rust {rust:.2} µs, C {c:.2} µs, difference {:.2} µs",
        c - rust
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
