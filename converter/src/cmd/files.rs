//! What may be written: never an input, and nothing that cannot be written after all the work.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use same_file::Handle;

/// Checks before the work that results can be written, and that none replaces an input or another
/// result. `outputs` are flags and the files that they name.
pub fn check(inputs: &[&Path], outputs: &[(&str, &Path)]) -> anyhow::Result<()> {
    for (n, (flag, output)) in outputs.iter().enumerate() {
        if let Some(input) = inputs.iter().find(|input| replaces(output, input)) {
            bail!(
                "{flag} {}: this would overwrite an input ({}); give another name",
                output.display(),
                input.display()
            );
        }
        if let Some((other, _)) = outputs[..n].iter().find(|(_, other)| same(output, other)) {
            bail!("{flag} {}: {other} names the same file; give another name", output.display());
        }
        writable(flag, output)?;
    }
    Ok(())
}

/// The file beside `output` that names the classes, one per line, and its text; none where the classes have no names.
pub fn labels_beside(output: &Path, names: &[String]) -> Option<(PathBuf, String)> {
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    (!names.is_empty()).then(|| (output.with_extension("labels.txt"), text))
}

/// Whether both names lead to one file, by whatever links; of files that are not there yet, whether they
/// would.
fn same(a: &Path, b: &Path) -> bool {
    // Devices and pipes keep nothing that could be lost, and opening a pipe waits for its writer.
    if [a, b].iter().any(|path| path.exists() && !path.is_file()) {
        return false;
    }
    match (Handle::from_path(a), Handle::from_path(b)) {
        (Ok(x), Ok(y)) => x == y,
        (Err(_), Err(_)) => absolute(a).zip(absolute(b)).is_some_and(|(a, b)| a == b),
        _ => false,
    }
}

/// Whether writing `output` would change `input`: the same file, or a file inside an input folder.
fn replaces(output: &Path, input: &Path) -> bool {
    let inside = || {
        let (folder, file) = (input.canonicalize().ok()?, output.canonicalize().ok()?);
        Some(input.is_dir() && file.is_file() && file.starts_with(folder) && is_image(&file))
    };
    same(output, input) || inside().unwrap_or(false)
}

fn is_image(file: &Path) -> bool {
    let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    matches!(&ending[..], "bmp" | "gif" | "jfif" | "jpe" | "jpeg" | "jpg" | "png" | "webp" | "bin" | "npy")
}

/// A file's folder without links, and its name.
fn absolute(path: &Path) -> Option<PathBuf> {
    Some(folder(path).canonicalize().ok()?.join(path.file_name()?))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn writable(flag: &str, path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("{flag} {}: is a folder; give the name of a file", path.display());
    }
    if path.exists() && !path.is_file() {
        return Ok(()); // a device: writing will tell
    }
    tempfile::Builder::new()
        .prefix(".foldnet-")
        .tempfile_in(folder(path))
        .map(drop)
        .map_err(|e| anyhow!("{}: cannot be written: {e}", path.display()))
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
    fn inputs_are_known_by_any_name() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        std::fs::write(path("in.onnx"), b"model").unwrap();
        std::fs::create_dir(path("photos")).unwrap();
        std::fs::write(path("photos/1.png"), b"image").unwrap();
        std::fs::hard_link(path("in.onnx"), path("hard.onnx")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(path("in.onnx"), path("soft.onnx")).unwrap();
        let inputs = [path("in.onnx"), path("photos")];
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let refused = |name: &str| check(&inputs, &[("-o", &path(name))]).is_err();
        assert!(refused("in.onnx") && refused("hard.onnx") && refused("photos/../in.onnx"));
        #[cfg(unix)]
        assert!(refused("soft.onnx"));
        assert!(refused("photos/1.png") && refused("photos"));
        assert!(!refused("out.nnef.tgz") && !refused("photos/out.nnef.tgz"));
        let twice = [("-o", &*path("new")), ("--report", &*path("photos/../new"))];
        assert!(check(&inputs, &twice).unwrap_err().to_string().contains("same file"));
    }

    #[test]
    fn reports_have_known_endings() {
        assert_eq!(report_kind(Path::new("a/r.HTML")).unwrap(), ReportKind::Html);
        assert_eq!(report_kind(Path::new("r.json")).unwrap(), ReportKind::Json);
        assert!(report_kind(Path::new("r.pdf")).is_err() && report_kind(Path::new("report")).is_err());
    }
}
