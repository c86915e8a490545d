//! The metadata that MediaPipe's tasks and the TFLite Task library read: class names and normalization. Both are
//! in a separate FlatBuffer; the names are files of a zip archive at the file's end.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use super::file::Model;
use crate::tflite::read::{File, FlatError, Table};
use crate::tflite::schema::metadata as schema;

/// The largest size of a list of class names in bytes.
const MOST_LABELS: u64 = 1 << 22;

/// Returns keys and values in the form of an ONNX exporter; values that cannot be used become notes.
pub fn read(model: &Model<'_, '_>, bytes: &[u8], notes: &mut Vec<String>) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let stored = model.metadata.iter().find(|(name, _)| name == schema::KEY);
    if let Some((_, stored)) = stored
        && let Err(problem) = fill(&mut found, stored, bytes)
    {
        notes.push(format!("the file's metadata are not used in full: {problem}"));
    }
    found
}

fn fill(found: &mut HashMap<String, String>, stored: &[u8], bytes: &[u8]) -> Result<(), String> {
    let unsound = |e: FlatError| e.to_string();
    let file = File::new(stored);
    let Some(graph) =
        file.root().and_then(|root| root.tables(schema::SUBGRAPHS)).map_err(unsound)?.first().copied()
    else {
        return Ok(());
    };
    if let Some(input) = graph.tables(schema::INPUTS).map_err(unsound)?.first()
        && let Some(Normalization { mean, std }) = normalization(input).map_err(unsound)?
    {
        found.insert("preprocess".into(), in_words(&mean, &std)?);
    }
    if let Some(output) = graph.tables(schema::OUTPUTS).map_err(unsound)?.first() {
        for of in output.tables(schema::ASSOCIATED_FILES).map_err(unsound)? {
            if of.byte(schema::FILE_TYPE).map_err(unsound)? == schema::AXIS_LABELS
                && !found.contains_key("labels")
            {
                found.insert(
                    "labels".into(),
                    associated(bytes, &of.text(schema::FILE_NAME).map_err(unsound)?)?,
                );
            }
        }
    }
    Ok(())
}

/// The normalization of the input, `(x − mean) / std`.
struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

fn normalization(input: &Table<'_, '_>) -> Result<Option<Normalization>, FlatError> {
    for unit in input.tables(schema::PROCESS_UNITS)? {
        if unit.byte(schema::PROCESS_TYPE)? == schema::NORMALIZATION
            && let Some(options) = unit.table(schema::PROCESS)?
        {
            return Ok(Some(Normalization {
                mean: options.floats(schema::MEAN)?,
                std: options.floats(schema::STD)?,
            }));
        }
    }
    Ok(None)
}

/// Formats a normalization for `--preprocess`.
fn in_words(mean: &[f32], std: &[f32]) -> Result<String, String> {
    match (mean, std) {
        ([], _) | (_, []) => Err("its normalization has no numbers".into()),
        (mean, std) if mean.iter().all(|&m| m == 0.0) && std.iter().all(|&s| s == 1.0) => Ok("none".into()),
        (mean, std) if mean.iter().all(|&m| m == 0.0) && std.iter().all(|&s| s == 255.0) => Ok("0-1".into()),
        (mean, std) if mean.iter().chain(std).all(|&v| v == 127.5) => Ok("tf".into()),
        (mean, std) => {
            let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
            Ok(format!("{}/{}", list(mean), list(std)))
        }
    }
}

/// Reads a file from the zip archive after the model.
fn associated(bytes: &[u8], name: &str) -> Result<String, String> {
    let unread = |e: String| format!("the class names ({name}) cannot be read: {e}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| unread(e.to_string()))?;
    let file = archive.by_name(name).map_err(|e| unread(e.to_string()))?;
    let mut text = Vec::new();
    file.take(MOST_LABELS).read_to_end(&mut text).map_err(|e| unread(e.to_string()))?;
    if text.len() as u64 == MOST_LABELS {
        return Err(unread(format!("more than {MOST_LABELS} bytes")));
    }
    String::from_utf8(text).map_err(|e| unread(e.to_string()))
}
