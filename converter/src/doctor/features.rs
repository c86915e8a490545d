//! Computes an image's features: the inputs of a network's last layer, averaged over its pixels.

use foldnet::Session;
use foldnet::streams::Streams;

use crate::calibrate::in_lanes;
use crate::float::FloatNet;
use crate::graph::{Graph, NodeId, Op};
use crate::image::Pixels;
use crate::model::Model;
use crate::run::{RunError, streams};

/// The reason why a model has no features.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The model does not end in a dense layer or convolution after the image.
    #[error(
        "the network does not end in a dense layer or a convolution, so images cannot be compared by what that reads"
    )]
    None,
    /// The model does not run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Computes features.
pub enum Extractor {
    /// A float network, the node whose value is the features, and the node's channels.
    Float(Box<FloatNet>, NodeId, usize),
    /// One stream per core, and the channels.
    Int8(Streams, usize),
}

impl Extractor {
    /// Prepares to compute a model's features.
    pub fn new(model: &Model) -> Result<Self, FeaturesError> {
        match model {
            Model::Float(m) => {
                let node = read_last(&m.graph).ok_or(FeaturesError::None)?;
                let net = FloatNet::new(&m.graph);
                Ok(Self::Float(Box::new(net), node, m.graph.nodes[node].shape.c))
            }
            Model::Int8(m) => {
                let mut streams = streams(&m.network)?;
                let shape = streams.sessions()[0].features_shape().ok_or(FeaturesError::None)?;
                Ok(Self::Int8(streams, shape.c))
            }
        }
    }

    /// Returns the number of features of an image.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(.., channels) | Self::Int8(_, channels) => *channels,
        }
    }

    /// Returns whether there are no features.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the features of each image, computed on all cores.
    pub fn features(&mut self, images: &[Pixels]) -> Result<Vec<Vec<f32>>, FeaturesError> {
        let channels = self.len();
        match self {
            Self::Float(net, node, _) => {
                let run = |i: usize| Ok(mean(&net.run(&images[i]).map_err(RunError::from)?[*node], channels));
                in_lanes(images.len(), run).into_iter().collect()
            }
            Self::Int8(streams, _) => {
                let run = |session: &mut Session, i: usize| {
                    let values = session.features(images[i].values());
                    mean(values.expect("the shape was there"), channels)
                };
                Ok(streams.map(images.len(), run))
            }
        }
    }
}

/// Returns the node that the last convolution or dense layer reads.
fn read_last(graph: &Graph) -> Option<NodeId> {
    let mut node = graph.output;
    while !matches!(graph.nodes[node].op, Op::Conv(_)) {
        node = *graph.nodes[node].inputs.first()?;
    }
    graph.nodes[node].inputs.first().copied().filter(|&read| read != 0)
}

/// Returns the mean over the pixels of a feature map.
fn mean(values: &[f32], channels: usize) -> Vec<f32> {
    let pixels = (values.len() / channels).max(1) as f32;
    let mut sums = vec![0.0f32; channels];
    for pixel in values.chunks_exact(channels) {
        sums.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += v / pixels);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_averaged_over_their_pixels() {
        assert_eq!(mean(&[1.0, 10.0, 3.0, 30.0], 2), [2.0, 20.0]);
        assert_eq!(mean(&[1.0, 10.0], 2), [1.0, 10.0]);
    }
}
