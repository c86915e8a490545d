//! Other vendors' tools that are Python packages: each in its own virtual environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use tempfile::TempDir;

/// The file that marks an environment as complete.
const COMPLETE: &str = "foldnet-complete";

/// A vendor's tool.
#[derive(Debug)]
pub struct Tool {
    /// The name and version, for messages.
    pub name: &'static str,
    /// The packages to install, with versions.
    pub packages: &'static [&'static str],
    /// The Python version that it needs, and the platform.
    pub needs: &'static str,
    /// The size of the download.
    pub size: &'static str,
}

/// The reason why a tool failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A file or program cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or program.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The tool cannot be installed.
    #[error("{} cannot be installed into {} (it needs {}, see --python): {said}", tool.name, folder.display(), tool.needs)]
    Install {
        /// The tool.
        tool: &'static Tool,
        /// The environment.
        folder: PathBuf,
        /// The last lines of the failed program's output.
        said: String,
    },
    /// The tool refuses the model, or fails.
    #[error("{} failed: {said}", tool.name)]
    Failed {
        /// The tool.
        tool: &'static Tool,
        /// The last lines of its output.
        said: String,
    },
    /// The tool is not installed, and could not be installed.
    #[error("{why}\nOr install it into your own Python: {python} -m pip install {}", tool.packages.join(" "))]
    Missing {
        /// The tool.
        tool: &'static Tool,
        /// The user's Python.
        python: String,
        /// The reason.
        why: String,
    },
    /// The tool's results do not have the required size or form.
    #[error("the tool's results do not fit the network: {0}")]
    Results(String),
}

fn io<T>(what: impl std::fmt::Display, result: std::io::Result<T>) -> Result<T, ToolError> {
    result.map_err(|source| ToolError::Io { what: what.to_string(), source })
}

/// An installed tool.
pub struct Installed {
    tool: &'static Tool,
    python: PathBuf,
}

impl Tool {
    /// Returns the tool in an existing Python, if that has these modules.
    pub fn in_python(&'static self, python: &str, modules: &[&str]) -> Option<Installed> {
        const ASK: &str =
            "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))";
        // The tool is run from another folder.
        let path = match python.contains('/') {
            true => std::path::absolute(python).ok()?,
            false => python.into(),
        };
        let asked = run(Command::new(&path).args(["-c", ASK]).args(modules));
        matches!(asked, Ok(Ok(()))).then_some(Installed { tool: self, python: path })
    }

    /// Returns the environment in `folder`, and creates it with `python` if it does not exist. `say` is called
    /// before anything is downloaded.
    pub fn open(
        &'static self,
        folder: &Path,
        python: &str,
        say: impl Fn(String),
    ) -> Result<Installed, ToolError> {
        // The tool is run from another folder.
        let folder = &io(folder.display(), std::path::absolute(folder))?;
        let own = folder.join("bin/python");
        if !folder.join(COMPLETE).exists() {
            let (name, size) = (self.name, self.size);
            let place = folder.display();
            say(format!("making a Python environment with {name} in {place} (once; it downloads {size})"));
            if let Some(parent) = folder.parent() {
                io(parent.display(), fs::create_dir_all(parent))?;
            }
            // A second process that needs the same environment waits here. The lock ends with the file's handle.
            let lock = folder.with_added_extension("lock");
            let lock =
                io(lock.display(), fs::File::create(&lock).and_then(|file| file.lock().map(|()| file)))?;
            if !folder.join(COMPLETE).exists() {
                self.install(folder, &own, python)?;
            }
            drop(lock);
        }
        Ok(Installed { tool: self, python: own })
    }

    fn install(&'static self, folder: &Path, own: &Path, python: &str) -> Result<(), ToolError> {
        let failed = |said| ToolError::Install { tool: self, folder: folder.into(), said };
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?.map_err(failed)?;
        run(Command::new(own).args(["-m", "pip", "install", "--quiet"]).args(self.packages))?
            .map_err(failed)?;
        let complete = folder.join(COMPLETE);
        io(complete.display(), fs::write(&complete, self.packages.join("\n")))
    }
}

impl Installed {
    /// Runs a script in a new folder, since tools leave files in their working folder. The folder contains the job
    /// as `job.json`, and these files.
    pub fn run(
        &self,
        script: &str,
        job: &impl Serialize,
        files: &[(&str, &[u8])],
    ) -> Result<Results, ToolError> {
        let folder = io("a temporary folder", tempfile::tempdir())?;
        let job = serde_json::to_vec(job).expect("plain data");
        for (name, bytes) in files.iter().chain(&[("script.py", script.as_bytes()), ("job.json", &job)]) {
            let path = folder.path().join(name);
            io(path.display(), fs::write(&path, bytes))?;
        }
        let mut command = Command::new(&self.python);
        command.args(["script.py", "job.json"]).current_dir(folder.path());
        run(&mut command)?.map_err(|said| ToolError::Failed { tool: self.tool, said })?;
        Ok(Results(folder))
    }
}

/// The files that a script wrote.
pub struct Results(TempDir);

impl Results {
    /// Reads a file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ToolError> {
        let path = self.0.path().join(name);
        io(path.display(), fs::read(&path))
    }
}

/// Runs a program to its end; if it fails, returns the last lines of its output.
fn run(command: &mut Command) -> Result<Result<(), String>, ToolError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = io(&name, command.stdin(Stdio::null()).output())?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    if let Some(exception) = exception(&text) {
        return Ok(Err(exception));
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(6)..].join("\n");
    Ok(Err(format!("{name} ended with {}\n{said}", output.status)))
}

/// Returns the exception with which a Python program ended, without the lines of code that led to it. They are the
/// tool's, and of no use to a reader.
fn exception(text: &str) -> Option<String> {
    const MOST: usize = 400;
    let (_, behind) = text.rsplit_once("Traceback (most recent call last):")?;
    let mut lines = behind.lines().skip(1).skip_while(|line| line.is_empty() || line.starts_with(' '));
    let mut said = lines.next()?.trim_end().to_owned();
    // An announcement: what it announces is in the next line.
    if said.ends_with(':')
        && let Some(more) = lines.find(|line| !line.trim().is_empty())
    {
        said = format!("{said} {}", more.trim());
    }
    if said.chars().count() > MOST {
        said = said.chars().take(MOST).chain("…".chars()).collect();
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_traceback_the_exception_remains() {
        let text = "tool 1.0\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\n\n\
                    ValueError: no such layer\nmore\n";
        assert_eq!(exception(text).as_deref(), Some("ValueError: no such layer"));
        let announced = "Traceback (most recent call last):\n  File\nRuntimeError: Error(s) in loading Net:\n\tMissing \
                         key(s): \"a\".\n\tUnexpected";
        assert_eq!(
            exception(announced).as_deref(),
            Some("RuntimeError: Error(s) in loading Net: Missing key(s): \"a\".")
        );
        let long = format!("Traceback (most recent call last):\n  x\nE: {}", "é".repeat(900));
        assert_eq!(exception(&long).unwrap().chars().count(), 401);
        assert_eq!(exception("keras.applications has no ResNet51"), None);
        assert_eq!(exception("Traceback (most recent call last):\n  File"), None);
    }
}
