//! Adds the preprocessing of training to the graph, where the other passes fold it.

use crate::graph::{Graph, Node, Op};

/// `x = (p − mean)/std` per channel of the image (RGB or grey, 0…255), given to the model in its own channel
/// order.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// `none`, `0-1`, `tf`, `caffe`, `torch` or `custom`.
    pub name: String,
    /// The mean per channel, RGB order, in pixel units.
    pub mean: Vec<f32>,
    /// The deviation per channel, RGB order, in pixel units.
    pub std: Vec<f32>,
    /// Whether the model takes BGR.
    pub bgr: bool,
}

/// The reason why a preprocessing is not possible.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PreprocessError {
    /// The text is neither a known name nor numbers.
    #[error(
        "preprocessing {0}: none, 0-1, tf, caffe, torch, or MEAN/STD in pixel units, each one number or three, for example 127.5/127.5 or 123.7,116.3,103.5/58.4,57.1,57.4"
    )]
    Unknown(String),
    /// The preprocessing has three numbers for one channel, or the reverse.
    #[error("preprocessing {name} is for images of 3 channels; the model takes {channels}")]
    Channels {
        /// The requested preprocessing.
        name: String,
        /// The model's channels.
        channels: usize,
    },
    /// The channels would have to be reordered, but a node other than a convolution reads them.
    #[error("preprocessing caffe turns RGB into BGR, but node {0} reads the image and is no convolution")]
    Order(String),
}

impl Preprocess {
    /// Uses the pixels unchanged.
    pub fn none(channels: usize) -> Self {
        Self { name: "none".into(), mean: vec![0.0; channels], std: vec![1.0; channels], bgr: false }
    }

    /// Parses a name, or `MEAN/STD`, each one number or one per channel.
    pub fn parse(text: &str, channels: usize) -> Result<Self, PreprocessError> {
        let three = |mean: [f32; 3], std: [f32; 3], bgr| {
            if channels != 3 {
                return Err(PreprocessError::Channels { name: text.into(), channels });
            }
            Ok(Self { name: text.into(), mean: mean.to_vec(), std: std.to_vec(), bgr })
        };
        match text {
            "none" => Ok(Self::none(channels)),
            "0-1" => Ok(Self {
                name: text.into(),
                mean: vec![0.0; channels],
                std: vec![255.0; channels],
                bgr: false,
            }),
            "tf" => Ok(Self {
                name: text.into(),
                mean: vec![127.5; channels],
                std: vec![127.5; channels],
                bgr: false,
            }),
            "caffe" => three([123.68, 116.779, 103.939], [1.0; 3], true),
            "torch" => three([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], false),
            _ => {
                let unknown = || PreprocessError::Unknown(text.into());
                let (mean, std) = text.split_once('/').ok_or_else(unknown)?;
                let numbers = |part: &str| -> Option<Vec<f32>> {
                    let n: Vec<f32> =
                        part.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
                    let fits = n.iter().all(|v| v.is_finite()) && (n.len() == 1 || n.len() == channels);
                    fits.then(|| if n.len() == 1 { vec![n[0]; channels] } else { n })
                };
                let mean = numbers(mean).ok_or_else(unknown)?;
                let std = numbers(std).filter(|s| s.iter().all(|&v| v > 0.0)).ok_or_else(unknown)?;
                Ok(Self { name: "custom".into(), mean, std, bgr: false })
            }
        }
    }
}

/// Makes pixels the graph's input: an affine map of them replaces the former input, and if the model takes BGR,
/// the channels of the convolutions that read it are reversed.
pub fn prepend(graph: &mut Graph, preprocess: &Preprocess) -> Result<(), PreprocessError> {
    if preprocess.bgr {
        turn(graph)?;
    }
    let gain: Vec<f32> = preprocess.std.iter().map(|s| 1.0 / s).collect();
    let offset: Vec<f32> = preprocess.mean.iter().zip(&gain).map(|(m, g)| -m * g).collect();
    if gain.iter().all(|g| *g == 1.0) && offset.iter().all(|o| *o == 0.0) {
        return Ok(());
    }
    let shape = graph.input();
    for node in &mut graph.nodes {
        node.inputs.iter_mut().for_each(|i| *i += 1);
    }
    graph.output += 1;
    graph.nodes[0].op = Op::Affine { gain, offset };
    graph.nodes[0].inputs = vec![0];
    graph.nodes[0].name = "preprocess".into();
    graph.nodes.insert(0, Node { name: "input".into(), op: Op::Input, inputs: vec![], shape });
    Ok(())
}

/// Follows the image through paddings and affine maps to the convolutions that read it, and reverses the channels
/// of all of them.
fn turn(graph: &mut Graph) -> Result<(), PreprocessError> {
    let mut reversed = vec![false; graph.nodes.len()];
    reversed[0] = true;
    for id in 1..graph.nodes.len() {
        let Node { op, inputs, name, .. } = &mut graph.nodes[id];
        if !inputs.iter().any(|&i| reversed[i]) {
            continue;
        }
        match op {
            Op::Conv(conv) if conv.groups == 1 => {
                let channels = conv.pad_value.len();
                conv.weights.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
                conv.pad_value.reverse();
            }
            Op::Affine { gain, offset } => {
                gain.reverse();
                offset.reverse();
                reversed[id] = true;
            }
            Op::Pad(_) => reversed[id] = true,
            _ => return Err(PreprocessError::Order(name.clone())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::FloatNet;
    use crate::image::Pixels;
    use crate::pass::fold;
    use crate::pass::testing::Build;

    #[test]
    fn names_and_numbers() {
        assert_eq!(Preprocess::parse("tf", 1).unwrap().mean, [127.5]);
        assert_eq!(Preprocess::parse("0-1", 1).unwrap().std, [255.0]);
        let custom = Preprocess::parse("1,2,3/4", 3).unwrap();
        assert_eq!((custom.mean, custom.std), (vec![1.0, 2.0, 3.0], vec![4.0; 3]));
        for bad in ["", "1", "1/0", "1/-1", "1,2/3", "nan/1", "keras"] {
            assert_eq!(Preprocess::parse(bad, 3), Err(PreprocessError::Unknown(bad.into())));
        }
        assert!(matches!(Preprocess::parse("torch", 1), Err(PreprocessError::Channels { .. })));
    }

    #[test]
    fn folded_it_computes_what_the_model_would_from_prepared_pixels() {
        let model = Build::new(5, 6, 3).conv(4, [3, 3], [1; 4]).relu().done();
        for name in ["none", "0-1", "tf", "caffe", "torch", "10,20,30/2,3,4"] {
            let preprocess = Preprocess::parse(name, 3).unwrap();
            let mut graph = model.clone();
            prepend(&mut graph, &preprocess).unwrap();
            fold(&mut graph);
            assert_eq!(graph.nodes.len(), 3, "{name} is folded");
            let pixels: Vec<u8> = (0..90).map(|i| (i * 37 % 256) as u8).collect();
            let prepared: Vec<f32> = pixels
                .chunks_exact(3)
                .flat_map(|p| {
                    let x: [f32; 3] =
                        std::array::from_fn(|c| (f32::from(p[c]) - preprocess.mean[c]) / preprocess.std[c]);
                    if preprocess.bgr { [x[2], x[1], x[0]] } else { x }
                })
                .collect();
            let expected = FloatNet::new(&model).run_floats(&prepared).unwrap();
            let got = FloatNet::new(&graph).run(&Pixels::new(graph.input(), pixels).unwrap()).unwrap();
            let (expected, got) = (&expected[model.output], &got[graph.output]);
            let range = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for (e, g) in expected.iter().zip(got) {
                assert!((e - g).abs() <= 1e-4 * range, "{name}: {e} {g}");
            }
        }
    }
}
