//! `runtime devices`: the cameras of this machine.

#[cfg(target_os = "linux")]
use foldnet_camera::source::v4l::devices;

use super::{Failure, Out, Voice};

/// List the cameras of this machine
///
/// With their pixel formats and sizes; formats that `runtime camera` reads have its name for them.
#[derive(clap::Args)]
pub struct Cmd {}

impl Cmd {
    /// Runs the command.
    #[cfg(target_os = "linux")]
    pub fn run(self, voice: Voice) -> Result<(), Failure> {
        let (cameras, problems) = devices();
        let mut out = Out::new();
        for camera in &cameras {
            if voice.json {
                out.line(serde_json::to_string(camera).map_err(Failure::ours)?)?;
                continue;
            }
            out.line(format!("{}  {}", camera.device.display(), camera.name))?;
            for f in camera.formats.iter().filter(|f| voice.verbose > 0 || f.format.is_some()) {
                let fps = f.fps.map_or(String::new(), |fps| format!(", {fps:.0} fps"));
                let name = f.format.unwrap_or("not read");
                out.line(format!("    {} {name:8}  {}{fps}", f.code, f.sizes.join(" ")))?;
            }
        }
        out.flush()?;
        for problem in &problems {
            eprintln!("runtime: {problem}");
        }
        if cameras.is_empty() && !voice.quiet {
            eprintln!("no camera found");
        }
        Ok(())
    }

    /// Runs the command.
    #[cfg(not(target_os = "linux"))]
    pub fn run(self, _: Voice) -> Result<(), Failure> {
        let _: Option<Out> = None;
        Err(Failure::input("cameras need Linux"))
    }
}
