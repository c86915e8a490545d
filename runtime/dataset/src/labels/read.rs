//! Reads class names from a file, in all common formats.
//!
//! | form | example |
//! |---|---|
//! | one name a line | `red` |
//! | numbered lines | `0 red`, `0: red`, `0,red`, `0<tab>red`, `red,0` |
//! | CSV with a header | `id,name` and then `0,red` |
//! | JSON | `["red", …]`, `{"0": "red"}`, `{"red": 0}`, Keras' `{"0": ["n01440764", "tench"]}` |
//! | Python's or YAML's notation | `{0: 'red', 1: …}`, `names:` with `- red` or `0: red` below |
//! | synset lines | `n01440764 tench, Tinca tinca` |
//!
//! The text is UTF-8 or UTF-16, with or without a byte order mark, with any line ends, and is normalized to NFC.
//! Numbers are removed only if they number every line without a gap, starting at 0 or 1; otherwise they are part
//! of the names.

use std::io::Read;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use super::forms::{NAME_HEADERS, json, numbered, python, synsets, table, unquoted, yaml};
use crate::DatasetError;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 24;
/// The longest name, in bytes.
const MAX_NAME: usize = 1 << 10;

/// Class names, in the order of the network's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFile {
    /// The names.
    pub names: Vec<String>,
    /// The file's format, for messages.
    pub form: &'static str,
}

/// Reads the names of a network's `outputs` classes; see the module for the formats.
///
/// There must be as many names as outputs. A network with one output may have two: the class below its threshold,
/// and the class above.
pub fn read_labels(path: &Path, outputs: usize) -> Result<LabelFile, DatasetError> {
    let io = |source| DatasetError::Io { path: path.into(), source };
    let mut bytes = Vec::new();
    foldnet_archive::open_file(path).map_err(io)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("larger than {} MB; is this a file of class names?", MAX_FILE >> 20);
        return Err(DatasetError::Labels { path: path.into(), message });
    }
    parse_labels(&bytes, outputs).map_err(|message| DatasetError::Labels { path: path.into(), message })
}

/// Like [`read_labels`], from a file's bytes.
pub fn parse_labels(bytes: &[u8], outputs: usize) -> Result<LabelFile, String> {
    let text: String = decode(bytes)?.nfc().collect();
    let file = parse(&text, outputs)?;
    for name in &file.names {
        if let Some(bad) = name.chars().find(|c| c.is_control()) {
            return Err(format!("the name {name:?} contains the control character {bad:?}"));
        }
        if name.len() > MAX_NAME {
            return Err(format!("a name of {} bytes; is this a file of class names?", name.len()));
        }
    }
    check_count(file.names.len(), outputs)?;
    Ok(file)
}

/// Checks that this many names fit a network with this many outputs.
pub fn check_count(names: usize, outputs: usize) -> Result<(), String> {
    if names == outputs || (outputs == 1 && names == 2) {
        return Ok(());
    }
    Err(format!(
        "{names} labels, but the network has {outputs} outputs{}",
        if names + 1 == outputs { " (is the background class missing?)" } else { "" }
    ))
}

/// Decodes the text, whatever its encoding, and makes `\n` its line end.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        match char::decode_utf16(units).collect::<Result<String, _>>() {
            Ok(text) if bytes.len().is_multiple_of(2) => Ok(text),
            _ => Err("damaged UTF-16; save the file as UTF-8".to_owned()),
        }
    };
    // Without a byte order mark, UTF-16 is recognized by a zero in every other byte of its ASCII characters.
    let zeros = |offset: usize| {
        let half = bytes.len() / 2;
        half > 1 && bytes.iter().skip(offset).step_by(2).filter(|&&b| b == 0).count() * 2 > half
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ if zeros(1) && !zeros(0) => utf16(bytes, u16::from_le_bytes)?,
        _ if zeros(0) && !zeros(1) => utf16(bytes, u16::from_be_bytes)?,
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = std::str::from_utf8(bytes).map_err(|e| {
                let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
                format!("line {line} is not UTF-8 text (Latin-1 perhaps); save the file as UTF-8")
            })?;
            text.to_owned()
        }
    };
    if text.contains('\0') {
        return Err("not a text file".into());
    }
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn parse(text: &str, outputs: usize) -> Result<LabelFile, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("no names in it".into());
    }
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(trimmed)
        && (value.is_array() || value.is_object())
    {
        return Ok(LabelFile { names: json(&value)?, form: "JSON" });
    }
    if trimmed.starts_with(['[', '{'])
        && let Some(names) = python(trimmed)
    {
        return Ok(LabelFile { names, form: "Python notation" });
    }
    if let Some(names) = yaml(text) {
        return Ok(LabelFile { names, form: "YAML" });
    }
    let lines: Vec<&str> = trimmed.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if let Some(names) = table(&lines)? {
        return Ok(LabelFile { names, form: "CSV" });
    }
    if let Some(names) = numbered(&lines) {
        return Ok(LabelFile { names, form: "numbered lines" });
    }
    if let Some(names) = synsets(&lines) {
        return Ok(LabelFile { names, form: "synset lines" });
    }
    let mut lines = lines;
    let is_header = |line: &str| NAME_HEADERS.contains(&line.to_lowercase().as_str());
    if lines.len() == outputs + 1 && outputs > 1 && is_header(lines[0]) {
        lines.remove(0);
    }
    let quoted = lines.iter().all(|line| unquoted(line) != *line);
    let names = lines.iter().map(|line| if quoted { unquoted(line) } else { line }.to_owned()).collect();
    Ok(LabelFile { names, form: "one name a line" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLOURS: [&str; 3] = ["red", "green", "blue"];

    fn names(text: &str) -> Vec<String> {
        parse_labels(text.as_bytes(), 3).unwrap_or_else(|e| panic!("{text:?}: {e}")).names
    }

    #[test]
    fn every_form_gives_the_names_that_a_person_reads() {
        for text in [
            "red\ngreen\nblue\n",
            "red\r\ngreen\r\nblue",
            "red\rgreen\rblue\r",
            "\u{feff}red\ngreen\nblue",
            "  red \n\n green\n\nblue\n\n",
            "\"red\"\n\"green\"\n\"blue\"\n",
            "0 red\n1 green\n2 blue\n",
            "0: red\n1: green\n2: blue\n",
            "2: blue\n0: red\n1: green\n",
            "0,red\n1,green\n2,blue\n",
            "0, red\n1, green\n2, blue\n",
            "0\tred\n1\tgreen\n2\tblue\n",
            "0;red\n1;green\n2;blue\n",
            "0=red\n1=green\n2=blue\n",
            "1. red\n2. green\n3. blue\n",
            "00 red\n01 green\n02 blue\n",
            "red,0\ngreen,1\nblue,2\n",
            "red: 0\ngreen: 1\nblue: 2\n",
            "id,name\n0,red\n1,green\n2,blue\n",
            "name;id\nblue;2\ngreen;1\nred;0\n",
            "class_id,hex,label\n0,f00,red\n1,0f0,green\n2,00f,blue\n",
            "id,name\n0,\"red\"\n1,\"green\"\n2,\"blue\"\n",
            "label\nred\ngreen\nblue\n",
            "[\"red\", \"green\", \"blue\"]",
            "{\"0\": \"red\", \"1\": \"green\", \"2\": \"blue\"}",
            "{\"red\": 0, \"green\": 1, \"blue\": 2}",
            "{\"0\": [\"n1\", \"red\"], \"1\": [\"n2\", \"green\"], \"2\": [\"n3\", \"blue\"]}",
            "{\"model\": \"x\", \"id2label\": {\"0\": \"red\", \"1\": \"green\", \"2\": \"blue\"}}",
            "[{\"name\": \"red\"}, {\"name\": \"green\"}, {\"name\": \"blue\"}]",
            "['red', 'green', 'blue']",
            "{0: 'red', 1: 'green', 2: 'blue'}",
            "{0: 'red',\n 1: 'green',\n 2: 'blue',}",
            "{'red': 0, 'green': 1, 'blue': 2}",
            "- red\n- green\n- blue\n",
            "path: data\nnc: 3\nnames:\n  0: red\n  1: green\n  2: blue\n",
            "names:\n- red\n- green\n- blue\nnc: 3\n",
            "names: [red, 'green', \"blue\"]\n",
        ] {
            assert_eq!(names(text), COLOURS, "{text:?}");
        }
    }

    #[test]
    fn utf_16_is_read_with_a_mark_and_without() {
        let text = "red\r\ngrün\r\nblue\r\n";
        let bytes = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        let (le, be) = (bytes(u16::to_le_bytes), bytes(u16::to_be_bytes));
        for bytes in [[&[0xff, 0xfe], &le[..]].concat(), [&[0xfe, 0xff], &be[..]].concat(), le, be] {
            assert_eq!(parse_labels(&bytes, 3).unwrap().names, ["red", "grün", "blue"]);
        }
    }

    #[test]
    fn names_become_nfc() {
        assert_eq!(names("gru\u{308}n\nred\nblue")[0], "grün");
        assert_eq!(names("[\"gru\\u0308n\", \"red\", \"blue\"]")[0], "grün");
    }

    #[test]
    fn what_belongs_to_a_name_stays() {
        assert_eq!(names("red 🍎, \"crimson\"\ngreen\nblue")[0], "red 🍎, \"crimson\"");
        assert_eq!(names("1 euro\n2 euro\n5 euro"), ["1 euro", "2 euro", "5 euro"]);
        assert_eq!(names("1 euro\n2 euro\n3 euro")[0], "1 euro");
        assert_eq!(names("7 up\n3 musketeers\n9 lives")[0], "7 up");
        assert_eq!(names("class 0\nclass 1\nclass 2")[1], "class 1");
        assert_eq!(names("tench, Tinca tinca\ngoldfish, Carassius auratus\nhen")[0], "tench, Tinca tinca");
        assert_eq!(names("n001 red\nn002 green\nn003 blue")[0], "n001 red");
        assert_eq!(
            names("n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01514859 hen"),
            ["tench, Tinca tinca", "goldfish", "hen"]
        );
    }

    #[test]
    fn a_dictionary_printed_by_python_keeps_its_commas_and_apostrophes() {
        let text = "{0: 'tench, Tinca tinca',\n 1: \"Steller's jay: a bird\",\n 2: 'hen'}";
        assert_eq!(names(text), ["tench, Tinca tinca", "Steller's jay: a bird", "hen"]);
    }

    #[test]
    fn what_is_no_list_of_names_is_refused_by_its_cause() {
        let error = |bytes: &[u8], outputs| parse_labels(bytes, outputs).unwrap_err();
        assert!(error(b"gr\xfcn\nrot\nblau", 3).contains("line 1 is not UTF-8"));
        assert!(error(b"", 3).contains("no names"));
        assert!(error(b"red\ngreen", 3).contains("2 labels, but the network has 3 outputs"));
        assert!(error(b"{\"0\": \"red\", \"2\": \"blue\"}", 2).contains("without a gap"));
        assert!(error(b"[1, 2, 3]", 3).contains("not of names"));
        assert!(error(b"a\x1b[31m\nb\nc", 3).contains("control character"));
        assert!(error(b"a\0b\n", 1).contains("not a text file"));
        assert!(error(b"id,hex,short\n0,f00,r\n1,0f0,g\n", 2).contains("3 columns"));
    }

    #[test]
    fn one_output_may_have_two_names() {
        assert_eq!(parse_labels(b"cat\ndog\n", 1).unwrap().names, ["cat", "dog"]);
        assert!(parse_labels(b"cat\ndog\ncow\n", 1).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_labels(&bytes, 3);
        }

        #[test]
        fn no_punctuation_crashes_the_reader(text in "[0-3nab:,;=\t \"'\\[\\]{}\\-\n]{0,60}") {
            let _ = parse_labels(text.as_bytes(), 2);
        }
    }
}
