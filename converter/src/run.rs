//! Runs a float model or an int8 model, and returns the values of its tensors.

use foldnet::streams::Streams;
use foldnet::{Session, SessionError};
use foldnet_archive::{Network, Step};

use crate::float::{FloatError, FloatNet, Grids};
use crate::graph::{Graph, NodeId};
use crate::image::Pixels;
use crate::model::{FloatModel, Model};
use crate::quantize::QuantizeError;
use crate::quantize::build::tensor_names;
use crate::quantize::fuse::{fuse, with_dense_end};

/// The reason why a model does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The float network does not run.
    #[error(transparent)]
    Float(#[from] FloatError),
    /// The float network has no int8 layout with which to name its tensors.
    #[error(transparent)]
    Layout(#[from] QuantizeError),
    /// The int8 network does not run: an internal error.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A named tensor's values, NHWC.
pub struct Values {
    /// The tensor's name, as in the archive.
    pub name: String,
    /// The number of channels.
    pub channels: usize,
    /// The real values.
    pub values: Vec<f32>,
}

/// Runs a float model or an int8 model on all cores.
pub enum Runner<'a> {
    /// A float graph, its network for logits, and once requested, its tensors.
    Float(&'a Graph, Box<FloatNet>, Option<Box<Tensors>>),
    /// One stream per core.
    Int8(Streams, Network),
}

/// A float network whose nodes correspond to an archive's tensors.
pub struct Tensors {
    /// The network that returns every node's value.
    net: FloatNet,
    /// The nodes with their names and numbers of channels.
    named: Vec<(NodeId, String, usize)>,
}

impl Tensors {
    fn new(graph: &Graph) -> Result<Self, RunError> {
        let net = FloatNet::new(graph);
        // The archive's names come from this graph.
        let graph = with_dense_end(graph);
        let fusion = fuse(&graph)?;
        let names = tensor_names(&graph, &fusion);
        let named = (1..fusion.slots.len())
            .filter(|&id| id != fusion.logits)
            .map(|id| (fusion.slots[id].node, names[id].clone(), fusion.slots[id].shape.c))
            .collect();
        Ok(Self { net, named })
    }
}

/// Creates one stream per core for an int8 network.
pub fn streams(network: &Network) -> Result<Streams, RunError> {
    let session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
    Ok(Streams::new(&session, 0).map_err(SessionError::from)?)
}

impl<'a> Runner<'a> {
    /// Prepares to run a model.
    pub fn new(model: &'a Model) -> Result<Self, RunError> {
        match model {
            Model::Float(m) => Self::float(m),
            Model::Int8(m) => Self::int8(&m.network),
        }
    }

    /// Prepares to run a float model.
    pub fn float(model: &'a FloatModel) -> Result<Self, RunError> {
        let net = FloatNet::rounded(&model.graph, &Grids::default());
        Ok(Self::Float(&model.graph, Box::new(net), None))
    }

    /// Prepares to run an int8 network.
    pub fn int8(network: &Network) -> Result<Self, RunError> {
        Ok(Self::Int8(streams(network)?, network.clone()))
    }

    /// Returns the logits of each image.
    pub fn logits(&mut self, images: &[Pixels]) -> Result<Vec<Vec<f32>>, RunError> {
        match self {
            Self::Float(_, net, _) => Ok(net.logits(images)?),
            Self::Int8(streams, _) => {
                let run = |session: &mut Session, i: usize| session.run(images[i].values()).to_vec();
                Ok(streams.map(images.len(), run))
            }
        }
    }

    /// Returns every int8 tensor (or its float counterpart) for one image.
    pub fn tensors(&mut self, pixels: &Pixels) -> Result<Vec<Values>, RunError> {
        match self {
            Self::Float(graph, _, tensors) => {
                let tensors = match tensors {
                    Some(tensors) => tensors,
                    None => tensors.insert(Box::new(Tensors::new(graph)?)),
                };
                let values = tensors.net.run(pixels)?;
                let value = |(node, name, channels): &(NodeId, String, usize)| Values {
                    name: name.clone(),
                    channels: *channels,
                    values: values[*node].to_vec(),
                };
                Ok(tensors.named.iter().map(value).collect())
            }
            Self::Int8(streams, network) => {
                let mut all = Vec::new();
                let steps: &[Step] = &network.steps;
                streams.sessions()[0].run_traced(pixels.values(), |step, outputs| {
                    for (id, values) in steps[step].outputs().into_iter().zip(outputs) {
                        let tensor = &network.tensors[id];
                        let real = |&q: &i8| (f32::from(q) - f32::from(tensor.zero)) * tensor.scale;
                        all.push(Values {
                            name: tensor.name.clone(),
                            channels: tensor.shape.c,
                            values: values.iter().map(real).collect(),
                        });
                    }
                });
                Ok(all)
            }
        }
    }
}
