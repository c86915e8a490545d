//! Dense layers.

use super::super::super::node::Problem;
use super::super::file::Operator;
use super::super::translate::Translator;
use super::Options;
use super::windows::bias;
use crate::emit::onnx::int;
use crate::tflite::schema::options;

/// Imports weights of outputs and inputs. Unless its dimensions are kept, the input is one row per batch element.
pub fn fully_connected(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let options = Options::of(operator, options::FULLY_CONNECTED)?;
    if options.byte(1)? != 0 {
        return Err("its weights are shuffled, which is not supported".into());
    }
    let (dims, values) = t.floats(operator, 1)?;
    let [outputs, depth] = dims[..] else {
        return Err(format!("weights of dimensions {dims:?}; two are supported"));
    };
    let bias = bias(t, operator, outputs)?;
    let mut x = t.operand(operator, 0)?;
    let keeps = options.byte(2)? != 0 && t.tensor(operator, 0)?.shape.len() > 2;
    let y = if keeps {
        let turned = (0..values.len()).map(|i| values[i % outputs * depth + i / outputs]).collect::<Vec<_>>();
        let weights = t.constant_floats(&[depth, outputs], &turned);
        let product = t.main(operator, "MatMul", &[&x, &weights], vec![])?;
        match bias {
            Some(bias) => t.node(operator, "Add", &[&product, &bias], vec![])?,
            None => product,
        }
    } else {
        if t.tensor(operator, 0)?.shape.len() != 2 {
            let row = t.constant_integers(&[-1, depth as i64]);
            x = t.node(operator, "Reshape", &[&x, &row], vec![])?;
        }
        let weights = t.constant_floats(&[outputs, depth], &values);
        let inputs = [&[&x[..], &weights][..], &bias.as_deref().map_or(vec![], |b| vec![b])].concat();
        t.main(operator, "Gemm", &inputs, vec![int("transB", 1)])?
    };
    t.finish(operator, y, options.byte(0)?)
}
