//! A microcontroller's plan of a network, and what networks need of a board.

use std::io::Read;
use std::path::Path;

use foldnet::compile::{CompileError, compile_small};
use foldnet_archive::Network;
use foldnet_catalogue::{Board, Needs, kernels};
use foldnet_kernels::{ShapeError, dispatch};
use foldnet_plan::PlanError;
use foldnet_plan::format::MAGIC;

/// Why that cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// Not a plan of this version, or damaged.
    #[error("{0}: {1}. Write it again with `converter export`")]
    NotAPlan(String, PlanError),
    /// Not an archive.
    #[error(transparent)]
    Archive(#[from] foldnet_archive::ArchiveError),
    /// No plan can be made of the network.
    #[error("{0}: {1}")]
    Compile(String, Box<CompileError>),
    /// A convolution's shapes contradict each other.
    #[error("{0}: {1}")]
    Shape(String, ShapeError),
}

/// Compiles a network for a core of [`foldnet_catalogue::microcontrollers`].
pub fn compile(network: &Network, core: &str) -> Result<Vec<u8>, CompileError> {
    let set = dispatch::by_name(kernels(core)).expect("the sets of Arm's microcontrollers are everywhere");
    Ok(compile_small(network, set)?.to_vec())
}

/// The plan for a microcontroller: the file's bytes, or what its archive compiles to.
pub fn plan_for(board: &Board, path: &Path) -> Result<Vec<u8>, FitError> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|e| FitError::Io(name.clone(), e))?;
    if bytes.starts_with(&MAGIC) {
        return Ok(bytes);
    }
    let (network, _) = foldnet_archive::read(path)?;
    compile(&network, board.core()).map_err(|e| FitError::Compile(name, Box::new(e)))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    foldnet_archive::open_file(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the file begins as a plan does.
pub fn is_plan(path: &Path) -> Result<bool, FitError> {
    let mut magic = Vec::new();
    let read = foldnet_archive::open_file(path).and_then(|f| f.take(4).read_to_end(&mut magic));
    read.map_err(|e| FitError::Io(path.display().to_string(), e))?;
    Ok(magic == MAGIC)
}

/// Reads what a plan or an archive needs of this board.
pub fn needs(path: &Path, board: &Board) -> Result<Needs, FitError> {
    if is_plan(path)? || board.mcu.is_some() {
        return plan_needs(&plan_for(board, path)?, path);
    }
    let (network, _) = foldnet_archive::read(path)?;
    let weights = network.steps.iter().map(|step| match step {
        foldnet_archive::Step::Conv(conv) => conv.weights.len() + 12 * conv.bias.len(),
        _ => 0,
    });
    Ok(Needs { flash: None, ram: weights.sum(), kernels: None })
}

/// What a plan, of which `path` names the file, wants.
pub fn plan_needs(bytes: &[u8], path: &Path) -> Result<Needs, FitError> {
    Needs::of_plan(bytes).map_err(|why| FitError::NotAPlan(path.display().to_string(), why))
}

#[cfg(test)]
mod tests {
    use foldnet_catalogue::{find, microcontrollers, misfits};

    use super::*;

    #[test]
    fn every_microcontroller_gets_a_plan() {
        let network = foldnet_archive::testing::resnet8();
        assert!(microcontrollers().count() >= 5);
        for core in microcontrollers() {
            let needs = Needs::of_plan(&compile(&network, core).unwrap()).unwrap();
            assert_eq!(needs.kernels.as_deref(), Some(kernels(core)));
            assert!(needs.ram < 32 * 1024 && needs.flash.unwrap() < 90_000);
        }
    }

    #[test]
    fn an_archive_is_compiled_for_the_microcontroller() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.nnef.tgz");
        let network = foldnet_archive::testing::resnet8();
        let mut manifest = foldnet_archive::testing::manifest();
        (manifest.input.height, manifest.input.width) = (32, 32);
        manifest.labels = (0..10).map(|i| i.to_string()).collect();
        foldnet_archive::write(&path, &network, &manifest).unwrap();
        for name in ["rp2350-pico2", "nrf52840-dk", "qemu-mps2-an500", "qemu-mps3-an547"] {
            let board = find(name).unwrap();
            let wants = needs(&path, &board).unwrap();
            assert_eq!(wants.kernels.as_deref(), Some(board.kernels()));
            assert_eq!(misfits(&wants, &board), [""; 0], "{name}");
            // The plan itself says the same as the archive that it is of.
            let plan = folder.path().join("model.plan");
            std::fs::write(&plan, plan_for(&board, &path).unwrap()).unwrap();
            assert_eq!(needs(&plan, &board).unwrap(), wants);
        }
        assert_eq!(needs(&path, &find("rock-5b").unwrap()).unwrap().flash, None);
    }
}
