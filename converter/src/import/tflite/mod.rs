//! Imports TFLite to a [`Graph`](crate::graph::Graph), by way of an ONNX model in memory.
//!
//! ```text
//! file       the FlatBuffer: tensors, operators, metadata
//! translate  one operator → ONNX nodes; scales and zero points → QuantizeLinear and DequantizeLinear
//! metadata   class names and normalization, as MediaPipe's tasks write them
//! ```
//! The model then uses the same import as a file from an exporter that writes NHWC: transpositions around
//! convolutions disappear there, and int8 files are models that are already quantized. Only the operators on which
//! the output depends are translated.

mod constants;
mod file;
mod halves;
mod metadata;
mod operators;
#[cfg(test)]
mod tests;
mod translate;

use std::path::Path;

use super::error::ImportError;
use super::{Imported, Options};
use crate::pixels;
use crate::tflite::read::File;
use crate::tflite::schema::IDENTIFIER;
use file::FileError;

/// The quantization of the file's input: `real = (q − zero)·scale`, with `q` as for int8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputGrid {
    /// The scale; positive.
    pub scale: f32,
    /// The zero point, from −128 to 127.
    pub zero: f32,
    /// Whether the input itself is bytes, rather than quantized by the network's first operator.
    pub bytes: bool,
}

/// Returns whether a file's bytes are a TFLite model.
pub fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&IDENTIFIER)
}

impl From<FileError> for ImportError {
    fn from(error: FileError) -> Self {
        Self::NotTflite(error.to_string())
    }
}

/// Reads a model.
pub fn read(bytes: &[u8], options: &Options) -> Result<Imported, ImportError> {
    let file = File::new(bytes);
    let model = file::read(&file)?;
    let translated = translate::translate(&model, bytes.len(), options.output.as_deref())?;
    let unasked = Options { output: None, ..options.clone() };
    let read = super::read_model(&translated.onnx, Path::new("/"), &unasked);
    let mut imported = read.map_err(|error| translated.located(&model, error))?;
    imported.producer = format!("TensorFlow Lite, {}", model.description);
    imported.nodes = translated.operators;
    imported.tensors = model.tensors.iter().map(|t| t.name.clone()).collect();
    imported.input_grid = translated.input_grid;
    imported.notes = translated.notes;
    if !imported.graph.given.is_empty() {
        imported.notes.push(
            "the file is quantized: its scales and zero points are kept, and f32 is the same network without rounding"
                .into(),
        );
    }
    imported.metadata = metadata::read(&model, bytes, &mut imported.notes);
    let reading = imported
        .input_grid
        .filter(|grid| grid.bytes)
        .and_then(|grid| pixels::of_input_grid(grid, imported.graph.input()));
    if reading.is_some_and(|reading| !["caffe", "torch"].contains(&reading.preprocess.as_str())) {
        // The scale defines the value of bytes; the metadata are for floats.
        imported.metadata.remove("preprocess");
    }
    Ok(imported)
}
