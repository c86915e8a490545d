//! `--ms`: how long an inference may take on a board that is not there yet.

use anyhow::anyhow;
use foldnet_archive::Network;
use foldnet_catalogue::times::{Reaches, expect, steps};
use foldnet_catalogue::{Board, find};

use super::Failure;

/// A time that is more than 0.
pub fn milliseconds(text: &str) -> Result<f64, String> {
    let ms = text.parse::<f64>().map_err(|_| "not a number".to_owned())?;
    if ms.is_finite() && ms > 0.0 { Ok(ms) } else { Err("a time is more than 0".into()) }
}

/// The most milliseconds on a board.
pub struct Limit {
    board: Board,
    ms: f64,
}

impl Limit {
    /// On the board of this name. Before any work: a board without expected times is refused.
    pub fn new(board: &str, ms: f64) -> Result<Self, Failure> {
        let board = find(board).map_err(|e| Failure::Input(e.into()))?;
        match expect(&board, &[]) {
            Ok(_) => Ok(Self { board, ms }),
            Err(why) => Err(Failure::Input(anyhow!("--ms: {} has no expected time: {why}", board.name))),
        }
    }

    /// A warning if the network may take longer; a failure if it surely does, or if nobody can tell.
    pub fn check(&self, network: &Network) -> Result<Option<String>, Failure> {
        let steps = steps(network).map_err(|e| Failure::Input(e.into()))?;
        let time = expect(&self.board, &steps)
            .map_err(|why| Failure::Limit(format!("--ms: no time is expected of this network: {why}")))?;
        let words = |verb: &str| {
            format!(
                "--ms {}: an inference {verb} longer on {}: {:.3} ms expected ({:.3} to {:.3}), estimated in a model \
                 of its {}",
                self.ms, self.board.name, time.ms, time.low_ms, time.high_ms, time.core
            )
        };
        match time.reaches(self.ms) {
            Reaches::Yes => Ok(None),
            Reaches::Perhaps => Ok(Some(words("may take"))),
            Reaches::No => Err(Failure::Limit(format!("{}. Nothing was written", words("takes")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_warns_or_fails() {
        let network = foldnet_archive::testing::resnet8();
        let check = |ms| Limit::new("raspberry-pi-4", ms).unwrap().check(&network);
        assert_eq!(check(1e3).unwrap(), None);
        let failed = format!("{:?}", check(1e-3).unwrap_err());
        assert!(failed.contains("takes longer on Raspberry Pi 4") && failed.contains("Nothing was written"));
        let time = expect(&find("raspberry-pi-4").unwrap(), &steps(&network).unwrap()).unwrap();
        assert!(check(time.ms).unwrap().unwrap().contains("may take longer"));
        let gates = foldnet_archive::testing::every_step_with_a_sum();
        let limit = Limit::new("raspberry-pi-4", 1e3).unwrap();
        assert!(format!("{:?}", limit.check(&gates)).contains("the operator sum"));
    }

    #[test]
    fn boards_without_times_are_refused() {
        let said = |board| format!("{:?}", Limit::new(board, 1.0).err());
        assert!(said("rp2350-pico2").contains("has no expected time: microcontrollers"));
        assert!(said("toaster").contains("unknown board"));
        for bad in ["0", "-1", "nan", "ten", ""] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
    }
}
