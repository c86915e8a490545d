//! Models with what another engine answers, in one archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

/// The models of `tests/ARCHIVE` whose names end in `ending`, by their names without it. Beside each NAME is NAME.json.
pub fn stories<S: DeserializeOwned>(archive: &str, ending: &str) -> BTreeMap<String, (Vec<u8>, S)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(archive);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    let names: Vec<String> = files.keys().filter_map(|f| f.strip_suffix(ending)).map(String::from).collect();
    let story = |name: String| {
        let story = serde_json::from_slice(&files[&format!("{name}.json")]).unwrap();
        let model = files[&format!("{name}{ending}")].clone();
        (name, (model, story))
    };
    names.into_iter().map(story).collect()
}
