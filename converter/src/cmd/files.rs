//! What may be written beside results, and as what. What may be overwritten is decided in `foldnet_cli`.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
pub use foldnet_cli::{check_default, check_outputs as check, is_device};

/// The file beside an exported one that names the classes, one per line.
pub struct LabelsFile {
    /// Where it is.
    pub path: PathBuf,
    text: String,
    /// Whether a file with these names is there already.
    there: bool,
}

impl LabelsFile {
    /// None where the classes have no names, or the output is a device, which has no place beside it. Other names in a
    /// file that is there already are an error: they may be the user's.
    pub fn beside(output: &Path, names: &[String]) -> anyhow::Result<Option<Self>> {
        if names.is_empty() || is_device(output) {
            return Ok(None);
        }
        let path = output.with_extension("labels.txt");
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        let there = path.symlink_metadata().is_ok();
        let same = || {
            let content = foldnet_archive::open_file(&path).and_then(std::io::read_to_string);
            content.is_ok_and(|content| content.lines().eq(text.lines()))
        };
        if there && !same() {
            bail!(
                "{} exists with other content, and the names of the classes would overwrite it; move it, or give \
                 another name with -o",
                path.display()
            );
        }
        Ok(Some(Self { path, text, there }))
    }

    /// Writes it, unless it is there; returns its size in bytes.
    pub fn write(&self) -> anyhow::Result<u64> {
        if !self.there {
            foldnet_archive::write_file(&self.path, self.text.as_bytes())
                .map_err(|e| anyhow!("{}: {e}", self.path.display()))?;
        }
        Ok(self.text.len() as u64)
    }
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// One page.
    Html,
    /// Data.
    Json,
}

/// From the report's name.
pub fn report_kind(path: &Path) -> anyhow::Result<ReportKind> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match &ending[..] {
        "html" | "htm" => Ok(ReportKind::Html),
        "json" => Ok(ReportKind::Json),
        _ => bail!("--report {}: the name must end in .html (a page) or .json (data)", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_others_are_not_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let (output, labels) = (place.path().join("a.plan"), place.path().join("a.labels.txt"));
        let names = ["ant", "bee"].map(String::from);
        let beside = || LabelsFile::beside(&output, &names);
        let new = beside().unwrap().unwrap();
        assert!(new.path == labels && !labels.exists());
        new.write().unwrap();
        assert_eq!(std::fs::read(&labels).unwrap(), b"ant\nbee\n");
        // As an editor writes it.
        std::fs::write(&labels, b"ant\r\nbee").unwrap();
        beside().unwrap().unwrap().write().unwrap();
        assert_eq!(std::fs::read(&labels).unwrap(), b"ant\r\nbee");
        std::fs::write(&labels, b"notes").unwrap();
        assert!(beside().err().unwrap().to_string().contains("overwrite"));
        assert!(LabelsFile::beside(&output, &[]).unwrap().is_none());
        #[cfg(unix)]
        assert!(LabelsFile::beside(Path::new("/dev/null"), &names).unwrap().is_none());
    }

    #[test]
    fn reports_have_known_endings() {
        assert_eq!(report_kind(Path::new("a/r.HTML")).unwrap(), ReportKind::Html);
        assert_eq!(report_kind(Path::new("r.json")).unwrap(), ReportKind::Json);
        assert!(report_kind(Path::new("r.pdf")).is_err() && report_kind(Path::new("report")).is_err());
    }
}
