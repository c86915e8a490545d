//! Checks of the files that a command will write: no input is overwritten, and no work is done for a result that
//! cannot be written.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use same_file::Handle;

/// Checks before the work that results can be written, and that none replaces an input or another result. `outputs` are
/// flags and the files that they name. An input may be a folder of images.
pub fn check_outputs(inputs: &[&Path], outputs: &[(&str, &Path)]) -> anyhow::Result<()> {
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

/// Checks that a file whose name nobody gave does not exist yet. `ours` recognizes a file that may be replaced.
pub fn check_default(output: &Path, ours: impl Fn(&Path) -> bool) -> anyhow::Result<()> {
    // A link that leads nowhere is somebody's, too.
    if output.symlink_metadata().is_ok() && !(output.is_file() && ours(output)) {
        bail!("{} exists; give a name with -o, as this would overwrite it", output.display());
    }
    Ok(())
}

/// Whether a path names a device, a pipe or a socket: something that keeps no content which could be lost.
pub fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Whether both names lead to one file, by whatever links; of files that are not there yet, whether they
/// would.
fn same(a: &Path, b: &Path) -> bool {
    // Opening a pipe waits for its writer.
    if [a, b].iter().any(|path| path.exists() && !path.is_file()) {
        return false;
    }
    match (Handle::from_path(a), Handle::from_path(b)) {
        (Ok(x), Ok(y)) => x == y,
        // Not there, or not to be read.
        _ => absolute(a).zip(absolute(b)).is_some_and(|(a, b)| a == b),
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
    if is_device(path) {
        return Ok(()); // writing will tell
    }
    let folder = folder(path);
    let no = |why: String| anyhow!("{flag} {}: cannot be written: {why}", path.display());
    if !folder.exists() {
        return Err(no(format!("the folder {} does not exist", folder.display())));
    }
    tempfile::Builder::new().prefix(".foldnet-").tempfile_in(folder).map(drop).map_err(|error| {
        // The name of the temporary file is of no use to anybody.
        let why = error.to_string();
        no(why.split(" at path ").next().unwrap_or_default().to_owned())
    })
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
        std::fs::hard_link(path("photos/1.png"), path("photos/2.txt")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(path("in.onnx"), path("soft.onnx")).unwrap();
        let inputs = [path("in.onnx"), path("photos")];
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let refused = |name: &str| check_outputs(&inputs, &[("-o", &path(name))]).is_err();
        assert!(refused("in.onnx") && refused("hard.onnx") && refused("photos/../in.onnx"));
        #[cfg(unix)]
        assert!(refused("soft.onnx"));
        assert!(refused("photos/1.png") && refused("photos"));
        assert!(!refused("out.nnef.tgz") && !refused("photos/out.nnef.tgz"));
        let twice = [("-o", &*path("new")), ("--report", &*path("photos/../new"))];
        assert!(check_outputs(&inputs, &twice).unwrap_err().to_string().contains("same file"));
    }

    #[test]
    fn a_folder_that_is_missing_is_named_and_devices_are_written_to() {
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("nodir/x");
        let said = check_outputs(&[], &[("-o", &output)]).unwrap_err().to_string();
        assert!(said.contains("nodir does not exist") && !said.contains(".foldnet-"), "{said}");
        #[cfg(unix)]
        {
            let null = Path::new("/dev/null");
            assert!(is_device(null) && !is_device(place.path()) && !is_device(&output));
            assert!(check_outputs(&[null], &[("-o", null), ("--report", null)]).is_ok());
        }
    }

    #[test]
    fn a_default_name_replaces_only_what_is_ours() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.tflite");
        assert!(check_default(&path, |_| false).is_ok());
        std::fs::write(&path, b"model").unwrap();
        let said = check_default(&path, |_| false).unwrap_err().to_string();
        assert!(said.contains("model.tflite exists; give a name with -o"), "{said}");
        assert!(check_default(&path, |_| true).is_ok());
        assert!(check_default(place.path(), |_| true).is_err());
    }
}
