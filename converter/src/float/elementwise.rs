//! A [`Curve`] as a tract operator.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use crate::curve::Curve;

/// Applies a function to each value of an NHWC tensor.
#[derive(Clone, Debug)]
pub struct Elementwise {
    curve: Arc<Curve>,
    channels: usize,
}

impl Elementwise {
    /// Creates the operator for tensors with this many channels.
    pub fn new(curve: Curve, channels: usize) -> Self {
        Self { curve: Arc::new(curve), channels }
    }
}

impl PartialEq for Elementwise {
    /// tract compares operators in order to merge nodes; for it, equal means the same function.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.curve, &other.curve) && self.channels == other.channels
    }
}

impl Eq for Elementwise {}

impl Op for Elementwise {
    fn name(&self) -> StaticName {
        "Elementwise".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Elementwise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let values = self.curve.map(x.try_as_plain_ram()?.as_slice::<f32>()?, self.channels);
        Ok(tvec!(Tensor::from_shape(x.shape(), &values)?.into_tvalue()))
    }
}

impl TypedOp for Elementwise {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }
}
