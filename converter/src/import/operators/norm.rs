//! BatchNormalization: an affine map per channel.

use super::super::node::{Node, Problem};
use super::super::value::Axis;
use super::super::{BatchNorm, Importer};
use crate::graph::Op;

/// `y = (x − mean)·scale/√(variance + ε) + shift`, in f64 and then f32. For a channel without variance, ε keeps
/// the result finite.
pub fn batch<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["epsilon", "momentum", "spatial", "training_mode"])?;
    if node.int("training_mode", 0)? != 0 {
        return Err("it is in training mode: export the network for inference (model.eval())".into());
    }
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    if shape.c > 1 && x.dim_of(Axis::C) != Some(1) {
        return Err(format!("its channels are not the second of the dimensions {:?}", x.sizes(shape)));
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let vector = |i| importer.vector(node, i, shape.c);
    let (scale, shift, mean, variance) = (vector(1)?, vector(2)?, vector(3)?, vector(4)?);
    let (mut gain, mut offset) = (Vec::new(), Vec::new());
    for c in 0..shape.c {
        let deviation = (f64::from(variance[c]) + epsilon).sqrt();
        if deviation.is_nan() || deviation <= 0.0 {
            return Err(format!("the variance of channel {c} is {}", variance[c]));
        }
        let g = f64::from(scale[c]) / deviation;
        gain.push(g as f32);
        offset.push((f64::from(shift[c]) - f64::from(mean[c]) * g) as f32);
    }
    importer.define(node, Op::Affine { gain, offset }, vec![x.node], shape, &x)?;
    if let Some(defined) = importer.nodes.last() {
        importer.norms.insert(defined.name.clone(), BatchNorm { mean, variance });
    }
    Ok(())
}
