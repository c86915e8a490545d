//! `runtime devices`: the cameras of this machine.

#[cfg(target_os = "linux")]
use foldnet_camera::source::v4l::devices;

use super::{Failure, Output, printable};

/// List the cameras of this machine
///
/// Prints the pixel formats and sizes of each camera. Formats that `runtime camera` reads are marked with their name.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  runtime devices")]
pub struct Cmd {}

impl Cmd {
    /// Runs the command.
    #[cfg(target_os = "linux")]
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let (cameras, problems) = devices();
        for camera in &cameras {
            if output.json() {
                output.data(camera)?;
                continue;
            }
            output.line(format!("{}  {}", camera.device.display(), printable(&camera.name)))?;
            for f in camera.formats.iter().filter(|f| output.verbose() > 0 || f.format.is_some()) {
                let fps = f.fps.map_or(String::new(), |fps| format!(", {fps:.0} fps"));
                let name = f.format.unwrap_or("not read");
                output.line(format!("    {} {name:8}  {}{fps}", f.code, f.sizes.join(" ")))?;
            }
        }
        for problem in &problems {
            output.warn(problem);
        }
        if cameras.is_empty() {
            output.say("no camera found");
        }
        Ok(())
    }

    /// Runs the command.
    #[cfg(not(target_os = "linux"))]
    pub fn run(self, _: &Output) -> Result<(), Failure> {
        Err(Failure::input("cameras need Linux"))
    }
}
