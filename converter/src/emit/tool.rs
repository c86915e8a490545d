//! Other makers' tools that come as Python packages: each in a virtual environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use tempfile::TempDir;

/// Lies in an environment when everything is installed.
const COMPLETE: &str = "foldnet-complete";

/// A tool.
#[derive(Debug)]
pub struct Tool {
    /// Name and version, for messages.
    pub name: &'static str,
    /// What is installed, with versions.
    pub packages: &'static [&'static str],
    /// Which Python it needs, and where.
    pub needs: &'static str,
    /// How much is downloaded.
    pub size: &'static str,
}

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A file or program cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or program.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be installed.
    #[error("{} cannot be installed into {} (it needs {}, see --python): {said}", tool.name, folder.display(), tool.needs)]
    Install {
        /// The tool.
        tool: &'static Tool,
        /// The environment.
        folder: PathBuf,
        /// The last lines of what failed.
        said: String,
    },
    /// It refuses the model, or fails.
    #[error("{} failed: {said}", tool.name)]
    Failed {
        /// The tool.
        tool: &'static Tool,
        /// The last lines that it printed.
        said: String,
    },
    /// It is not there, and could not be installed.
    #[error("{why}\nOr install it into your own Python: {python} -m pip install {}", tool.packages.join(" "))]
    Missing {
        /// The tool.
        tool: &'static Tool,
        /// The user's Python.
        python: String,
        /// What stood against it.
        why: String,
    },
    /// Its results do not have the size or form that they must have.
    #[error("the tool's results do not fit the network: {0}")]
    Results(String),
}

fn io<T>(what: impl std::fmt::Display, result: std::io::Result<T>) -> Result<T, ToolError> {
    result.map_err(|source| ToolError::Io { what: what.to_string(), source })
}

/// A tool that is there.
pub struct Installed {
    tool: &'static Tool,
    python: PathBuf,
}

impl Tool {
    /// The tool in a Python that is there, if that has these modules.
    pub fn in_python(&'static self, python: &str, modules: &[&str]) -> Option<Installed> {
        const ASK: &str =
            "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))";
        // It is run from another folder.
        let path = match python.contains('/') {
            true => std::path::absolute(python).ok()?,
            false => python.into(),
        };
        let asked = run(Command::new(&path).args(["-c", ASK]).args(modules));
        matches!(asked, Ok(Ok(()))).then_some(Installed { tool: self, python: path })
    }

    /// The environment in `folder`, made with `python` when it is not there; `say` is told before anything
    /// is downloaded.
    pub fn open(
        &'static self,
        folder: &Path,
        python: &str,
        say: impl Fn(String),
    ) -> Result<Installed, ToolError> {
        // It is run from another folder.
        let folder = &io(folder.display(), std::path::absolute(folder))?;
        let own = folder.join("bin/python");
        if !folder.join(COMPLETE).exists() {
            let (name, size) = (self.name, self.size);
            let place = folder.display();
            say(format!("making a Python environment with {name} in {place} (once; it downloads {size})"));
            if let Some(parent) = folder.parent() {
                io(parent.display(), fs::create_dir_all(parent))?;
            }
            // A second process that wants the same environment waits here. The lock ends with the file's handle.
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
    /// Runs a script in a new folder, since tools leave files of their own where they run. The job stands there
    /// as `job.json`, beside these files.
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

/// What a script left behind.
pub struct Results(TempDir);

impl Results {
    /// A file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ToolError> {
        let path = self.0.path().join(name);
        io(path.display(), fs::read(&path))
    }
}

/// Runs a program to its end; when it does not succeed, the last lines that it printed.
fn run(command: &mut Command) -> Result<Result<(), String>, ToolError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = io(&name, command.stdin(Stdio::null()).output())?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(6)..].join("\n");
    Ok(Err(format!("{name} ended with {}\n{said}", output.status)))
}
