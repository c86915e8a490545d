//! Tests that the parts bring a network closer to float, and that stock tract runs it.

use foldnet_tract::Stock;

use super::*;
use crate::float::FloatNet;
use crate::graph::{Node, Op};
use crate::quantize::recipe::{Effort, Options, Silent, quantize};
use crate::quantize::tests::{images, residual};
use crate::quantize::{Outcome, equalize};

/// Returns a preactivated network: a sum that is read directly and after an affine map with its ReLU.
fn preactivated() -> Graph {
    let mut graph = residual();
    // stem ─┬─ affine ─ relu ─ a ─ relu ─ b ─┬─ sum ─ affine ─ relu ─ pool ─ dense
    let c = graph.nodes[1].shape.c;
    graph.nodes[2].op = Op::Affine {
        gain: (0..c).map(|i| 0.6 - 0.25 * i as f32).collect(),
        offset: (0..c).map(|i| 0.1 * i as f32 - 0.3).collect(),
    };
    let affine = graph.nodes[2].op.clone();
    let shape = graph.nodes[2].shape;
    let node = |name: &str, op, input| Node { name: name.into(), op, inputs: vec![input], shape };
    graph.nodes[2].inputs = vec![1];
    graph.nodes.insert(3, node("pre", Op::Relu, 2));
    for n in &mut graph.nodes[4..] {
        n.inputs.iter_mut().filter(|i| **i >= 3).for_each(|i| *i += 1);
    }
    graph.nodes[4].inputs = vec![3];
    graph.nodes[7].inputs = vec![6, 1];
    graph.nodes.insert(8, node("affine", affine, 7));
    for n in &mut graph.nodes[9..] {
        n.inputs.iter_mut().filter(|i| **i >= 8).for_each(|i| *i += 1);
    }
    graph.nodes[9].inputs = vec![8];
    graph.output += 2;
    graph
}

fn quantized(graph: &Graph) -> (Outcome, Graph) {
    let options = Options { effort: Effort::Low, bias: false, ..Options::default() };
    let outcome = quantize(graph, &images(24), options, &Silent).unwrap();
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    (outcome, exact)
}

/// Returns the real values of a tensor that is stored in two, for an image.
fn held(network: &Network, hi: &str, image: &Pixels) -> Vec<f32> {
    let mut sum: Vec<f32> = Vec::new();
    Session::new(network, foldnet_kernels::dispatch::best(), 1).unwrap().run_traced(
        image.values(),
        |i, out| {
            for (id, values) in network.steps[i].outputs().into_iter().zip(out) {
                let t = &network.tensors[id];
                if t.name == hi || t.name == format!("{hi}_rest") {
                    let real = |&q: &i8| (f32::from(q) - f32::from(t.zero)) * t.scale;
                    sum = if t.name == hi {
                        values.iter().map(real).collect()
                    } else {
                        sum.iter().zip(values.iter().map(real)).map(|(a, b)| a + b).collect()
                    };
                }
            }
        },
    );
    sum
}

#[test]
fn with_everything_kept_the_trunk_is_as_in_float() {
    for graph in [residual(), preactivated()] {
        let (outcome, exact) = quantized(&graph);
        let kept = eligible(&outcome.draft.fusion);
        assert!(kept.weights.len() == 3 && kept.values.len() >= 2, "{kept:?}");
        let network = network(&outcome.draft, &exact, &kept, &images(24)).unwrap();
        let narrow = &outcome.network;
        assert_eq!(network.tensors.iter().filter(|t| t.scale <= 0.0).count(), 0);
        assert!(network.macs() > 2 * narrow.macs());
        let float = FloatNet::new(&exact);
        for image in &images(40)[30..] {
            let truth = float.run(image).unwrap();
            for &slot in &kept.values {
                let name = format!("{}_hi", narrow.tensors[slot].name);
                let ours = held(&network, &name, image);
                let node = outcome.draft.fusion.slots[slot].node;
                let most = truth[node].iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for (a, b) in truth[node].iter().zip(&ours) {
                    assert!((a - b).abs() < most / 1500.0, "{name}: {a} became {b} of {most}");
                }
                assert_eq!(truth[node].len(), ours.len());
            }
        }
    }
}

#[test]
fn every_kernel_set_and_stock_tract_have_the_same_bits() {
    for graph in [residual(), preactivated()] {
        let (outcome, exact) = quantized(&graph);
        let kept = eligible(&outcome.draft.fusion);
        let network = network(&outcome.draft, &exact, &kept, &images(12)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.nnef.tgz");
        let mut manifest = foldnet_archive::testing::manifest();
        let shape = network.input();
        manifest.input = foldnet_archive::Input { height: shape.h, width: shape.w, ..manifest.input };
        manifest.labels.clear();
        foldnet_archive::write(&path, &network, &manifest).unwrap();
        let (read, _) = foldnet_archive::read(&path).unwrap();
        let mut tract = Stock::load(&path, network.input()).unwrap();
        for image in &images(3) {
            let expected = tract.logits(image.values()).unwrap().to_vec();
            for entry in foldnet_kernels::dispatch::REGISTRY {
                let Some(set) = (entry.get)() else { continue };
                let mut session = Session::new(&read, set, 1).unwrap();
                assert_eq!(session.run(image.values()), expected, "{}", set.name());
            }
        }
    }
}

#[test]
fn nothing_kept_is_the_draft_itself() {
    let (outcome, exact) = quantized(&residual());
    let network = network(&outcome.draft, &exact, &Kept::default(), &images(3)).unwrap();
    assert_eq!(network, outcome.network);
}

#[test]
fn every_part_alone_makes_a_sound_network_that_is_nearer_to_float() {
    for graph in [residual(), preactivated()] {
        let (outcome, exact) = quantized(&graph);
        let float = FloatNet::new(&exact);
        let truth: Vec<_> = images(16).iter().map(|p| float.run(p).unwrap()[exact.output].clone()).collect();
        let sqnr = |network: &Network| {
            let answers = crate::quantize::score::logits(network, &images(16)).unwrap();
            crate::quantize::score::Distance::between(&truth, &answers, outcome.measure).sqnr
        };
        let all = eligible(&outcome.draft.fusion);
        let single = |weights: Option<NodeId>, values: Option<SlotId>| Kept {
            weights: weights.into_iter().collect(),
            values: values.into_iter().collect(),
        };
        let parts = all.weights.iter().map(|&w| single(Some(w), None));
        let before = sqnr(&outcome.network);
        for kept in parts.chain(all.values.iter().map(|&v| single(None, Some(v)))) {
            let network = network(&outcome.draft, &exact, &kept, &images(16)).unwrap();
            assert!(sqnr(&network) > before - 1.0, "{kept:?}: {before} became {}", sqnr(&network));
        }
        let everything = sqnr(&network(&outcome.draft, &exact, &all, &images(16)).unwrap());
        assert!(everything > before, "{before} became {everything}");
    }
}
