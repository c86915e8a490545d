//! Writes the metadata that TFLite Support and our own reader know: the value of the pixels and the classes' names.
//!
//! A description in a FlatBuffer of its own is one of the model's buffers. The names are a file in a zip archive
//! behind the model; readers of the model do not see it. It is not compressed, which the Task library requires.

use std::io::{Cursor, Seek, SeekFrom, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::tflite::schema::metadata as schema;
use crate::tflite::write::{Content, Table, file};

/// The name of the file with one class a line.
const LABELS: &str = "labels.txt";
const IDENTIFIER: [u8; 4] = *b"M001";

/// What the metadata state.
pub struct Description<'a> {
    /// The pixel that the input represents as zero. Its scale is 1.
    pub mean: f32,
    /// Whether the image is grey rather than RGB.
    pub grey: bool,
    /// The names of the classes, which may be none.
    pub labels: &'a [String],
}

impl Description<'_> {
    /// Returns the FlatBuffer.
    pub fn table(&self) -> Vec<u8> {
        let table = Table::default;
        let text = |words: &str| Content::Text(words.into());
        let image = table().with(schema::COLOR_SPACE, Content::Byte(if self.grey { 2 } else { 1 }));
        let content = table()
            .with(schema::CONTENT_TYPE, Content::Byte(schema::IMAGE))
            .with(schema::CONTENT, Content::Table(image));
        let normalization = table()
            .with(schema::MEAN, Content::Floats(vec![self.mean]))
            .with(schema::STD, Content::Floats(vec![1.0]));
        let unit = table()
            .with(schema::PROCESS_TYPE, Content::Byte(schema::NORMALIZATION))
            .with(schema::PROCESS, Content::Table(normalization));
        let stats = table()
            .with(0, Content::Floats(vec![255.0 - self.mean]))
            .with(1, Content::Floats(vec![-self.mean]));
        let input = table()
            .with(schema::TENSOR_NAME, text("image"))
            .with(schema::TENSOR_CONTENT, Content::Table(content))
            .with(schema::PROCESS_UNITS, Content::Tables(vec![unit]))
            .with(schema::STATS, Content::Table(stats));
        let mut output = table().with(schema::TENSOR_NAME, text("logits"));
        if !self.labels.is_empty() {
            let names = table()
                .with(schema::FILE_NAME, text(LABELS))
                .with(schema::FILE_TYPE, Content::Byte(schema::AXIS_LABELS));
            output = output.with(schema::ASSOCIATED_FILES, Content::Tables(vec![names]));
        }
        let graph = table()
            .with(schema::INPUTS, Content::Tables(vec![input]))
            .with(schema::OUTPUTS, Content::Tables(vec![output]));
        let root = table()
            .with(schema::NAME, text("Image classifier"))
            .with(schema::SUBGRAPHS, Content::Tables(vec![graph]))
            .with(schema::LEAST_VERSION, text("1.0.0"));
        file(&root, IDENTIFIER)
    }

    /// Returns the model with the names behind it.
    pub fn append(&self, model: Vec<u8>) -> Vec<u8> {
        if self.labels.is_empty() {
            return model;
        }
        const IN_MEMORY: &str = "a file in memory can be written";
        let names: String = self.labels.iter().map(|name| format!("{name}\n")).collect();
        let mut out = Cursor::new(model);
        out.seek(SeekFrom::End(0)).expect(IN_MEMORY);
        let mut archive = ZipWriter::new(out);
        // The same archive gives the same file, whatever the time.
        let plain = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default());
        archive.start_file(LABELS, plain).expect(IN_MEMORY);
        archive.write_all(names.as_bytes()).expect(IN_MEMORY);
        archive.finish().expect(IN_MEMORY).into_inner()
    }
}
