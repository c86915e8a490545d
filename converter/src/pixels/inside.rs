//! Derives the preprocessing from an affine map of the pixels at the start of a network.
//!
//! `y = (x − m)/s`: its author chose `m` and `s` for the network's input values. A mean of 0.485 is in the middle
//! of 0…1, one of 123.7 in the middle of 0…255. A batch normalization at the input (MXNet's `bn_data`) has
//! measured them: its running mean and variance are those of the input.

use std::collections::HashMap;

use super::readers_of;
use crate::graph::{Graph, NodeId, Op};
use crate::import::BatchNorm;

/// The affine maps between the pixels and the first layer.
pub struct Chain {
    /// The node that the first layer reads.
    pub end: NodeId,
    /// Per channel, the input value that becomes zero, and the size of a step of one from there; `None` if there
    /// is no map.
    map: Option<Vec<(f64, f64)>>,
    /// Whether all of it is a batch normalization's running statistics.
    measured: bool,
}

/// The conclusion from these maps.
#[derive(Clone, Debug, PartialEq)]
pub enum Inside {
    /// There are no maps, or they change nothing.
    Nothing,
    /// The maps imply this preprocessing outside the network.
    One(&'static str, String),
    /// The maps are consistent with several preprocessings.
    Several(Vec<&'static str>, String),
    /// The maps match no usual preprocessing.
    Unclear(String),
}

impl Chain {
    /// Follows the pixels of an imported graph.
    pub fn of(graph: &Graph, norms: &HashMap<String, BatchNorm>) -> Self {
        let channels = graph.input().c;
        let (mut end, mut gain, mut offset) = (0, vec![1.0; channels], vec![0.0; channels]);
        let (mut maps, mut statistics) = (0, None);
        while let [next] = readers_of(graph, end)[..] {
            match &graph.nodes[next].op {
                Op::Affine { gain: g, offset: o } => {
                    for c in 0..channels {
                        gain[c] *= f64::from(g[c]);
                        offset[c] = offset[c] * f64::from(g[c]) + f64::from(o[c]);
                    }
                    maps += 1;
                    statistics = norms.get(&graph.nodes[next].name);
                }
                Op::Pad(_) => {}
                _ => break,
            }
            end = next;
        }
        let measured = (maps == 1).then_some(statistics).flatten();
        let map = match measured {
            Some(norm) => Some(
                norm.mean
                    .iter()
                    .zip(&norm.variance)
                    .map(|(&m, &v)| (m.into(), f64::from(v).sqrt()))
                    .collect(),
            ),
            None if maps == 0 => None,
            None => Some(gain.iter().zip(&offset).map(|(g, o)| (-o / g, 1.0 / g)).collect()),
        };
        Self { end, map, measured: measured.is_some() }
    }

    /// Returns the preprocessing that these maps imply.
    pub fn reading(&self) -> Inside {
        let Some(map) = &self.map else { return Inside::Nothing };
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| map.iter().map(of).sum::<f64>() / map.len() as f64;
        let (m, s) = (mean(&|v| v.0), mean(&|v| v.1.abs()));
        if map.iter().all(|(m, s)| m.abs() < 1e-3 && (s - 1.0).abs() < 2e-3) {
            return Inside::Nothing;
        }
        let figures = format!("(x − {})/{}", short(m), short(s));
        let how = if self.measured { "normalizes its input, as trained, by" } else { "begins with" };
        // Means of colours are close together, and so are their deviations.
        let alike = map
            .iter()
            .all(|(a, b)| (a - m).abs() <= 0.5 * (m.abs() + s) && (0.4..2.5).contains(&(b.abs() / s)));
        if !m.is_finite() || !s.is_finite() || !alike {
            return Inside::Unclear(format!("it {how} {figures}, which differs from colour to colour"));
        }
        let fits = self.fits(m, s);
        match fits[..] {
            [one] => Inside::One(one, format!("the network {how} {figures}, for {}", range(one))),
            [] => Inside::Unclear(format!("it {how} {figures}, which fits neither pixels 0…255 nor 0…1")),
            _ => Inside::Several(fits, format!("it {how} {figures}")),
        }
    }

    fn fits(&self, m: f64, s: f64) -> Vec<&'static str> {
        let mut fits = Vec::new();
        // The offset is the mean of photographs, whatever follows; or it is 0, followed by a division by their
        // range.
        if ((60.0..=190.0).contains(&m) && s <= 330.0) || (m.abs() <= 3.0 && (100.0..=300.0).contains(&s)) {
            fits.push("none");
        }
        let whole = (1.0 / 300.0..=1.0 / 200.0).contains(&s); // to 0…255 inside
        if ((0.25..=0.75).contains(&m) && s <= 0.75)
            || ((0.4..=0.6).contains(&m) && s <= 1.3)
            || (m.abs() <= 0.012 && whole)
        {
            fits.push("0-1");
        }
        // Nobody would write a map of these into something else, but a batch normalization may measure them.
        if self.measured {
            if (-0.35..=0.2).contains(&m) && (0.3..=0.75).contains(&s) {
                fits.push("tf");
            }
            if m.abs() <= 0.4 && (0.75..=1.6).contains(&s) {
                fits.push("torch");
            }
            if m.abs() <= 30.0 && (40.0..=90.0).contains(&s) {
                fits.push("caffe");
            }
        }
        fits
    }
}

fn range(preprocess: &str) -> &'static str {
    match preprocess {
        "none" => "pixels 0…255",
        "0-1" => "pixels 0…1",
        "tf" => "pixels −1…1",
        "torch" => "normalized pixels",
        _ => "pixels less their mean",
    }
}

/// Formats with three digits.
fn short(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.1}"),
        a if a >= 1.0 => format!("{v:.2}"),
        0.0 => "0".into(),
        _ => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(m: [f64; 3], s: [f64; 3], measured: bool) -> Inside {
        let map = m.into_iter().zip(s).collect();
        Chain { end: 0, map: Some(map), measured }.reading()
    }

    fn one(reading: &Inside) -> &'static str {
        match reading {
            Inside::One(name, _) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn constants_tell_what_they_are_for() {
        let written = |m: [f64; 3], s: [f64; 3]| chain(m, s, false);
        assert_eq!(one(&written([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])), "0-1");
        assert_eq!(one(&written([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])), "0-1");
        assert_eq!(one(&written([0.5; 3], [0.5; 3])), "0-1");
        assert_eq!(one(&written([0.5; 3], [1.0; 3])), "0-1");
        assert_eq!(one(&written([0.0; 3], [1.0 / 255.0; 3])), "0-1");
        // These maps return to pixels and then subtract the mean.
        assert_eq!(one(&written([0.485, 0.456, 0.406], [1.0 / 255.0; 3])), "0-1");
        assert_eq!(one(&written([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])), "none");
        assert_eq!(one(&written([103.939, 116.779, 123.68], [1.0; 3])), "none");
        assert_eq!(one(&written([127.5; 3], [127.5; 3])), "none");
        assert_eq!(one(&written([128.0; 3], [128.0; 3])), "none");
        assert_eq!(one(&written([0.0; 3], [255.0; 3])), "none");
        assert_eq!(one(&written([0.0; 3], [256.0; 3])), "none");
    }

    #[test]
    fn statistics_at_the_input_are_the_inputs() {
        let trained = |m: [f64; 3], s: [f64; 3]| chain(m, s, true);
        assert_eq!(one(&trained([123.7, 116.8, 103.9], [70.0, 68.0, 71.0])), "none");
        assert_eq!(one(&trained([0.47, 0.45, 0.41], [0.27, 0.26, 0.28])), "0-1");
        assert_eq!(one(&trained([-0.05, -0.1, -0.2], [0.54, 0.52, 0.56])), "tf");
        assert_eq!(one(&trained([-0.03, 0.02, 0.05], [1.2, 1.15, 1.25])), "torch");
        assert_eq!(one(&trained([1.0, -2.0, 3.0], [70.0, 68.0, 71.0])), "caffe");
        assert_eq!(trained([0.0; 3], [1.0; 3]), Inside::Nothing);
    }

    #[test]
    fn what_fits_nothing_is_unclear() {
        assert!(matches!(chain([20.0; 3], [20.0; 3], false), Inside::Unclear(_)));
        assert!(matches!(chain([0.0; 3], [2.0; 3], false), Inside::Unclear(_)));
        assert!(matches!(chain([0.5, 120.0, 0.4], [0.2; 3], false), Inside::Unclear(_)));
        assert!(matches!(chain([f64::NAN; 3], [1.0; 3], false), Inside::Unclear(_)));
    }
}
