//! The table against the estimates that it was fitted to, and what must hold for any network.

use std::collections::BTreeMap;

use foldnet_kernels::{ConvDesc, ConvOutput, PoolDesc, Shape, Source};
use serde::Deserialize;

use super::*;
use crate::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Estimates {
    estimate: Vec<Estimate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Estimate {
    core: String,
    mhz: u32,
    network: String,
    ms: f64,
    amounts: BTreeMap<String, f64>,
}

/// A convolution of a square input with padding that keeps it.
fn conv(side: usize, channels: [usize; 2], kernel: usize, stride: usize) -> Step {
    Step::Conv(ConvDesc {
        x: Shape::new(side, side, channels[0]),
        y: Shape::new(side.div_ceil(stride), side.div_ceil(stride), channels[1]),
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1, 1],
        pad: [kernel / 2; 2],
        groups: 1,
        source: Source::Tensor,
        skip: false,
        output: ConvOutput::Int8,
    })
}

/// Boards whose fastest core has a table.
const BOARDS: [&str; 4] = ["raspberry-pi-zero-2-w", "radxa-zero-3w", "raspberry-pi-4", "raspberry-pi-5"];

#[test]
fn the_table_predicts_the_estimates() {
    let Estimates { estimate } = toml::from_str(include_str!("estimates.toml")).unwrap();
    assert!(estimate.len() >= 5 * built_in().cores().len());
    for case in estimate {
        let core = built_in().core(&case.core).unwrap();
        let mut amounts = Amounts::NONE;
        for (name, amount) in &case.amounts {
            let term = Term::ALL.iter().find(|term| term.name() == name).unwrap();
            amounts.set(*term, *amount as usize);
        }
        let error = core.ms(&amounts, f64::from(case.mhz)) / case.ms - 1.0;
        assert!(error.abs() <= core.error + 0.001, "{} on {}: {error}", case.network, case.core);
    }
}

#[test]
fn no_steps_take_no_time() {
    for board in BOARDS {
        let expected = expect(&find(board).unwrap(), &[]).unwrap();
        assert_eq!((expected.ms, expected.low_ms, expected.high_ms), (0.0, 0.0, 0.0));
        assert!(!expected.streams_weights);
    }
}

#[test]
fn more_work_takes_more_time() {
    let pool = Step::MaxPool(PoolDesc {
        x: Shape::new(56, 56, 64),
        y: Shape::new(28, 28, 64),
        kernel: [2, 2],
        stride: [2, 2],
        pad: [0, 0],
        pad_value: 0,
    });
    for board in BOARDS {
        let board = find(board).unwrap();
        let ms = |steps: &[Step]| expect(&board, steps).unwrap().ms;
        for kernel in [1, 3] {
            let mut before = 0.0;
            for channels in [32, 64, 128, 256, 512] {
                let now = ms(&[conv(28, [channels, 64], kernel, 1)]);
                assert!(now > before, "{}: {kernel}×{kernel}, {channels}", board.id);
                before = now;
            }
            assert!(ms(&[conv(56, [64, 64], kernel, 1)]) > ms(&[conv(28, [64, 64], kernel, 1)]));
            assert!(ms(&[conv(28, [64, 64], kernel, 1)]) > ms(&[conv(28, [64, 64], kernel, 2)]));
        }
        let one = [conv(28, [64, 64], 3, 1)];
        assert!(ms(&[one[0], pool]) > ms(&one) && ms(&[one[0], one[0]]) > ms(&one));
    }
}

#[test]
fn the_interval_contains_the_expected_time() {
    for board in BOARDS {
        let expected = expect(&find(board).unwrap(), &[conv(28, [128, 128], 3, 1)]).unwrap();
        assert!(0.0 < expected.low_ms && expected.low_ms < expected.ms && expected.ms < expected.high_ms);
        assert_eq!(expected.reaches(expected.high_ms), Reaches::Yes);
        assert_eq!(expected.reaches(expected.ms), Reaches::Perhaps);
        assert_eq!(expected.reaches(0.9 * expected.low_ms), Reaches::No);
        let [fps, low, high] = expected.fps();
        assert!(low < fps && fps < high);
    }
}

#[test]
fn what_has_no_table_has_a_reason() {
    let one = [conv(28, [64, 64], 3, 1)];
    let why = |board: &str, steps: &[Step]| expect(&find(board).unwrap(), steps).unwrap_err();
    assert_eq!(why("nrf52840-dk", &one), NotEstimated::Microcontroller);
    assert_eq!(why("khadas-vim3", &one), NotEstimated::Core("cortex-a73".into()));
    assert_eq!(why("raspberry-pi-4", &[Step::Other("scale")]), NotEstimated::Operator("scale"));
    let Step::Conv(desc) = one[0] else { unreachable!() };
    let grouped = [Step::Conv(ConvDesc { groups: 64, ..desc })];
    assert_eq!(why("raspberry-pi-4", &grouped), NotEstimated::Operator("grouped conv"));
    let mut board = find("raspberry-pi-4").unwrap();
    board.cores.as_mut()[0].mhz = None;
    assert_eq!(expect(&board, &one), Err(NotEstimated::Clock("cortex-a72".into())));
}

#[test]
fn memory_has_its_own_clock() {
    let mut board = find("raspberry-pi-zero-2-w").unwrap();
    let large = [conv(7, [2048, 2048], 1, 1)];
    let slow = expect(&board, &large).unwrap();
    board.cores.as_mut()[0].mhz = Some(2 * slow.mhz);
    let fast = expect(&board, &large).unwrap();
    assert!(slow.streams_weights);
    // A core of twice the clock waits as long for main memory.
    assert!(fast.ms > slow.ms / 2.0 && fast.ms < slow.ms);
}

#[test]
fn a_wrong_table_is_refused() {
    let good = include_str!("../../times.toml");
    let wrong = |from: &str, to: &str| Table::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
    assert!(Table::parse(good).is_ok());
    assert!(wrong("cortex-a53", "cortex-m4").contains("unknown core `cortex-m4`"));
    assert!(wrong("\nmac = ", "\nmacs = ").contains("unknown term `macs`"));
    assert!(wrong("\nmac = ", "\nmac = -").contains("mac of cortex-a53 is out of range"));
    assert!(wrong("high = ", "high = 1").contains("bias"));
    assert!(wrong("cache_kb", "cache").contains("unknown field"));
}
