//! Tests with models written table by table: which are refused, with which messages, and which data may accompany
//! a model.

use std::path::Path;

use super::super::{ImportError, Imported, read_with};
use super::{Options, is_tflite};
use crate::tflite::schema::{code, element, model, node, operator, options, quantization, subgraph, tensor};
use crate::tflite::write::{Content, Table, file};

/// A model under construction.
struct Written {
    buffers: Vec<Table>,
    tensors: Vec<Table>,
    codes: Vec<Table>,
    operators: Vec<Table>,
    outputs: Vec<i32>,
    subgraphs: usize,
    metadata: Option<Vec<u8>>,
}

impl Written {
    /// Tensor 0 is an image of 4×4 pixels.
    fn new() -> Self {
        let mut new = Self {
            buffers: vec![Table::default()],
            tensors: vec![],
            codes: vec![],
            operators: vec![],
            outputs: vec![],
            subgraphs: 1,
            metadata: None,
        };
        new.tensor("picture", &[1, 4, 4, 3], element::FLOAT32, None);
        new
    }

    fn tensor(&mut self, name: &str, shape: &[i32], of: u8, data: Option<Vec<u8>>) -> i32 {
        let buffer = data.map_or(0, |data| {
            self.buffers.push(Table::default().with(0, Content::Bytes(data)));
            self.buffers.len() as i32 - 1
        });
        let table = Table::default()
            .with(tensor::SHAPE, Content::Ints(shape.to_vec()))
            .with(tensor::TYPE, Content::Byte(of))
            .with(tensor::BUFFER, Content::Int(buffer))
            .with(tensor::NAME, Content::Text(name.into()));
        self.tensors.push(table);
        self.tensors.len() as i32 - 1
    }

    fn floats(&mut self, name: &str, shape: &[i32], values: &[f32]) -> i32 {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, shape, element::FLOAT32, Some(data))
    }

    /// Quantizes with scale 1/255 and this zero point.
    fn quantized(&mut self, id: i32, of: u8, zero: i64) {
        let table = &mut self.tensors[id as usize];
        table.0[1].1 = Content::Byte(of);
        let grid = Table::default()
            .with(quantization::SCALE, Content::Floats(vec![1.0 / 255.0]))
            .with(quantization::ZERO_POINT, Content::Longs(vec![zero]));
        table.0.push((tensor::QUANTIZATION, Content::Table(grid)));
    }

    fn operator(&mut self, kind: i32, inputs: &[i32], output: i32, options: Option<(u8, Table)>) {
        let low = Content::Byte(kind.min(127) as u8);
        let mut kind_of = Table::default().with(code::DEPRECATED, low);
        if kind == operator::CUSTOM {
            kind_of = kind_of.with(code::CUSTOM, Content::Text("Flex\u{1b}Thing".into()));
        }
        self.codes.push(kind_of.with(code::BUILTIN, Content::Int(kind)));
        let mut table = Table::default()
            .with(node::CODE, Content::Int(self.codes.len() as i32 - 1))
            .with(node::INPUTS, Content::Ints(inputs.to_vec()))
            .with(node::OUTPUTS, Content::Ints(vec![output]));
        if let Some((number, options)) = options {
            table = table
                .with(node::OPTIONS_TYPE, Content::Byte(number))
                .with(node::OPTIONS, Content::Table(options));
        }
        self.operators.push(table);
        self.outputs = vec![output];
    }

    /// Adds a dense layer of two classes over tensor `from`.
    fn dense(&mut self, from: i32, depth: usize) {
        let weights: Vec<f32> = (0..2 * depth).map(|i| (i % 7) as f32 - 3.0).collect();
        let weights = self.floats("weights", &[2, depth as i32], &weights);
        let scores = self.tensor("scores", &[1, 2], element::FLOAT32, None);
        self.operator(operator::FULLY_CONNECTED, &[from, weights, -1], scores, None);
    }

    fn bytes(self) -> Vec<u8> {
        let graph = Table::default()
            .with(subgraph::TENSORS, Content::Tables(self.tensors))
            .with(subgraph::INPUTS, Content::Ints(vec![0]))
            .with(subgraph::OUTPUTS, Content::Ints(self.outputs))
            .with(subgraph::OPERATORS, Content::Tables(self.operators))
            .with(subgraph::NAME, Content::Text("main".into()));
        let mut buffers = self.buffers;
        let mut root = Table::default()
            .with(model::VERSION, Content::Int(3))
            .with(model::OPERATOR_CODES, Content::Tables(self.codes))
            .with(model::SUBGRAPHS, Content::Tables(vec![graph; self.subgraphs]));
        let metadata = self.metadata.map(|bytes| {
            buffers.push(Table::default().with(0, Content::Bytes(bytes)));
            let at = Content::Int(buffers.len() as i32 - 1);
            Table::default().with(0, Content::Text("TFLITE_METADATA".into())).with(1, at)
        });
        root = root.with(model::BUFFERS, Content::Tables(buffers));
        if let Some(metadata) = metadata {
            root = root.with(model::METADATA, Content::Tables(vec![metadata]));
        }
        file(&root, *b"TFL3")
    }
}

fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    assert!(is_tflite(bytes));
    read_with(bytes, Path::new(""), &Options::default())
}

/// Returns the message about a model.
fn said(of: Written) -> String {
    read(&of.bytes()).err().expect("it is refused").to_string()
}

#[test]
fn operators_are_refused_by_name_and_index() {
    let mut custom = Written::new();
    let y = custom.tensor("odd", &[1, 4, 4, 3], element::FLOAT32, None);
    custom.operator(operator::CUSTOM, &[0], y, None);
    let words = said(custom);
    assert!(words.contains("operator 0, CUSTOM Flex\u{1b}Thing, which computes odd"), "{words}");

    let mut unknown = Written::new();
    let y = unknown.tensor("a", &[1, 4, 4, 3], element::FLOAT32, None);
    unknown.operator(operator::RELU, &[0], y, None);
    let z = unknown.tensor("best;after", &[1], element::INT64, None);
    unknown.operator(56, &[y], z, None);
    let words = said(unknown);
    assert!(
        words.contains("operator 1, ARG_MAX, which computes best: ") && words.contains("RELU6"),
        "{words}"
    );

    let mut options_of_another = Written::new();
    let y = options_of_another.tensor("a", &[1, 4, 4, 3], element::FLOAT32, None);
    options_of_another.operator(operator::ADD, &[0, 0], y, Some((options::MUL, Table::default())));
    let words = said(options_of_another);
    assert!(words.contains("operator 0, ADD") && words.contains("type 21, not 11"), "{words}");

    // Errors of the import itself use the file's terms, too.
    let mut mean = Written::new();
    let axes = mean.tensor("axes", &[1], element::INT32, Some(vec![7, 0, 0, 0]));
    let y = mean.tensor("mean", &[1, 4, 4, 1], element::FLOAT32, None);
    mean.operator(operator::MEAN, &[0, axes], y, None);
    assert!(said(mean).contains("operator 0, MEAN, which computes mean: its axis 7"));
    let mut short = Written::new();
    short.dense(0, 20);
    let words = said(short);
    assert!(words.contains("operator 0, FULLY_CONNECTED, which computes scores: "), "{words}");
}

#[test]
fn slices_with_odd_masks_strides_and_ranks_are_refused() {
    let with = |strides: &[i32], mask: Option<(u16, i32)>| {
        let mut model = Written::new();
        let mut ints = |name: &str, values: &[i32]| {
            let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            model.tensor(name, &[values.len() as i32], element::INT32, Some(data))
        };
        let inputs = [0, ints("begin", &[0; 4]), ints("end", &[1, 4, 4, 3]), ints("strides", strides)];
        let y = model.tensor("y", &[1, 2, 2, 3], element::FLOAT32, None);
        let table =
            mask.map_or(Table::default(), |(field, bits)| Table::default().with(field, Content::Int(bits)));
        model.operator(operator::STRIDED_SLICE, &inputs, y, Some((options::STRIDED_SLICE, table)));
        said(model)
    };
    for (mask, name) in [(2, "ellipsis"), (3, "new-axis"), (4, "shrink-axis")] {
        let words = with(&[1, 2, 2, 1], Some((mask, 2)));
        assert!(
            words.contains(&format!("operator 0, STRIDED_SLICE, which computes y: its {name} mask is 2")),
            "{words}"
        );
    }
    assert!(with(&[1, 0, 2, 1], None).contains("strides are [1, 0, 2, 1]"));
    assert!(with(&[1, 2, 2], None).contains("4 dimensions"));
}

#[test]
fn what_is_no_network_of_ours_is_refused() {
    let mut two = Written::new();
    two.dense(0, 48);
    two.subgraphs = 2;
    let words = said(two);
    assert!(words.contains("2 subgraphs (main, main)"), "{words}");

    let mut endless = Written::new();
    let (a, b) = (
        endless.tensor("a", &[1, 4, 4, 3], element::FLOAT32, None),
        endless.tensor("b", &[1, 4, 4, 3], element::FLOAT32, None),
    );
    endless.operator(operator::RELU, &[b], a, None);
    endless.operator(operator::RELU, &[a], b, None);
    assert!(said(endless).contains("its own output"));

    let mut twice = Written::new();
    let a = twice.tensor("a", &[1, 4, 4, 3], element::FLOAT32, None);
    twice.operator(operator::RELU, &[0], a, None);
    twice.operator(operator::TANH, &[0], a, None);
    assert!(said(twice).contains("operator 1, TANH"));

    let mut unscaled = Written::new();
    unscaled.tensors[0].0[1].1 = Content::Byte(element::INT8);
    unscaled.dense(0, 48);
    assert!(said(unscaled).contains("input picture: picture has 0 scales"));

    let mut open = Written::new();
    open.tensors[0].0.push((tensor::SHAPE_SIGNATURE, Content::Ints(vec![-1, -1, -1, 3])));
    open.dense(0, 48);
    assert!(said(open).contains("--input-size"));

    let mut two_outputs = Written::new();
    two_outputs.dense(0, 48);
    let other = two_outputs.tensor("other", &[1, 4, 4, 3], element::FLOAT32, None);
    two_outputs.operator(operator::RELU, &[0], other, None);
    two_outputs.outputs = vec![other - 1, other];
    let bytes = two_outputs.bytes();
    let words = read(&bytes).err().unwrap().to_string();
    assert!(words.contains("2 outputs (scores, other)"), "{words}");
    let asked = Options { output: Some("scores".into()), ..Options::default() };
    let imported = read_with(&bytes, Path::new(""), &asked).unwrap();
    assert_eq!((imported.nodes, imported.graph.nodes[imported.graph.output].shape.c), (1, 2));
    let asked = Options { output: Some("scor".into()), ..Options::default() };
    assert!(read_with(&bytes, Path::new(""), &asked).err().unwrap().to_string().contains("no output scor"));
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let mut whole = Written::new();
    whole.dense(0, 48);
    let bytes = whole.bytes();
    read(&bytes).unwrap();
    for length in (8..bytes.len() - 8).step_by(3) {
        assert!(read(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
}

#[test]
fn shared_constants_do_not_multiply() {
    let mut bomb = Written::new();
    let zeros = vec![0; 4 * 48 * 400];
    let mut from = 0;
    let weights = bomb.tensor("weights", &[48, 400], element::FLOAT32, Some(zeros));
    for n in 0..400 {
        let flat = bomb.tensor(&format!("y{n}"), &[1, 48], element::FLOAT32, None);
        bomb.operator(operator::FULLY_CONNECTED, &[from, weights, -1], flat, None);
        from = flat;
    }
    let words = said(bomb);
    assert!(words.contains("share too many of their bytes"), "{words}");
}

/// Returns metadata with a normalization, and with class names in a file of this name.
fn metadata(mean: &[f32], std: &[f32], labels: &str) -> Vec<u8> {
    let normalization =
        Table::default().with(0, Content::Floats(mean.to_vec())).with(1, Content::Floats(std.to_vec()));
    let unit = Table::default().with(0, Content::Byte(1)).with(1, Content::Table(normalization));
    let names = Table::default().with(0, Content::Text(labels.into())).with(2, Content::Byte(2));
    let input = Table::default().with(4, Content::Tables(vec![unit]));
    let output = Table::default().with(6, Content::Tables(vec![names]));
    let graph = Table::default().with(2, Content::Tables(vec![input])).with(3, Content::Tables(vec![output]));
    file(&Table::default().with(3, Content::Tables(vec![graph])), *b"M001")
}

/// Appends a zip archive to the model, like Python's `zipfile`.
fn with_file(model: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    let mut at = std::io::Cursor::new(model);
    at.set_position(at.get_ref().len() as u64);
    let mut archive = zip::ZipWriter::new(at);
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file(name, stored).unwrap();
    std::io::Write::write_all(&mut archive, content).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn class_names_and_normalization_stand_beside_the_model() {
    let build = |of: u8, mean: &[f32], std: &[f32]| {
        let mut model = Written::new();
        if of != element::FLOAT32 {
            model.quantized(0, of, if of == element::UINT8 { 0 } else { -128 });
        }
        model.dense(0, 48);
        model.metadata = Some(metadata(mean, std, "labels.txt"));
        model.bytes()
    };
    let float = || build(element::FLOAT32, &[127.5], &[127.5]);
    let found = read(&with_file(float(), "labels.txt", b"cat\ndog\n")).unwrap();
    assert_eq!(found.metadata["preprocess"], "tf");
    assert_eq!(found.metadata["labels"], "cat\ndog\n");
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    let three = read(&build(element::FLOAT32, &[1.0, 2.0, 3.0], &[4.0, 5.0, 6.5])).unwrap();
    assert_eq!(three.metadata["preprocess"], "1,2,3/4,5,6.5");
    // The scale of bytes defines their value.
    for of in [element::UINT8, element::INT8] {
        let bytes = read(&build(of, &[0.0], &[255.0])).unwrap();
        assert!(!bytes.metadata.contains_key("preprocess"));
        assert_eq!(bytes.input_grid.map(|g| (g.zero, g.bytes)), Some((-128.0, true)));
    }
    // Missing or damaged data produce a note, and the model is read nevertheless.
    for bytes in
        [float(), with_file(float(), "names.txt", b"cat\n"), with_file(float(), "labels.txt", b"\xff\xfe")]
    {
        let found = read(&bytes).unwrap();
        assert!(!found.metadata.contains_key("labels"));
        assert!(found.notes[0].contains("labels.txt"), "{:?}", found.notes);
    }
}

#[test]
fn an_operator_that_nothing_needs_is_not_looked_at() {
    let mut model = Written::new();
    let odd = model.tensor("odd", &[2], element::INT64, None);
    model.operator(operator::CUSTOM, &[0], odd, None);
    let flat = model.tensor("flat", &[1, 48], element::FLOAT32, None);
    // Keras computes the shape of a Flatten; the output specifies it.
    model.operator(operator::RESHAPE, &[0, odd], flat, None);
    model.dense(flat, 48);
    assert_eq!(read(&model.bytes()).unwrap().nodes, 2);
}

#[test]
fn a_split_feeds_several_branches() {
    for (code, option) in [(operator::SPLIT, 35), (operator::SPLIT_V, 79)] {
        let mut w = Written::new();
        let axis = w.tensor("axis", &[1], element::INT32, Some((-1i32).to_le_bytes().to_vec()));
        let lengths = [1i32, -1, 1].iter().flat_map(|n| n.to_le_bytes()).collect();
        let lengths = w.tensor("lengths", &[3], element::INT32, Some(lengths));
        let parts: Vec<i32> =
            (0..3).map(|i| w.tensor(&format!("part{i}"), &[1, 4, 4, 1], element::FLOAT32, None)).collect();
        let inputs = if code == operator::SPLIT { vec![axis, 0] } else { vec![0, lengths, axis] };
        w.operator(code, &inputs, parts[0], Some((option, Table::default().with(0, Content::Int(3)))));
        w.operators[0].0[2].1 = Content::Ints(parts.clone());
        // The last part is not used.
        let joined = w.tensor("joined", &[1, 4, 4, 2], element::FLOAT32, None);
        w.operator(
            operator::CONCATENATION,
            &[parts[1], parts[0]],
            joined,
            Some((options::CONCATENATION, Table::default().with(0, Content::Int(3)))),
        );
        w.dense(joined, 32);
        let imported = read(&w.bytes()).unwrap();
        assert_eq!(imported.graph.input().c, 3);
        let net = crate::float::FloatNet::new(&imported.graph);
        let values: Vec<u8> = (0..48).map(|i| (i * 37 % 251) as u8).collect();
        let pixels = crate::image::Pixels::new(foldnet_kernels::Shape::new(4, 4, 3), values.clone()).unwrap();
        let answer = net.run(&pixels).unwrap()[imported.graph.output].clone();
        // The dense layer's input: of every pixel its green, then its red.
        let mixed: Vec<f32> =
            values.as_chunks::<3>().0.iter().flat_map(|p| [f32::from(p[1]), f32::from(p[0])]).collect();
        let expected =
            [0, 32].map(|row| (0..32).map(|i| mixed[i] * (((row + i) % 7) as f32 - 3.0)).sum::<f32>());
        assert_eq!(answer, expected, "{code}");
    }
}

#[test]
fn a_split_into_wrong_lengths_is_refused() {
    let mut w = Written::new();
    let axis = w.tensor("axis", &[1], element::INT32, Some(3i32.to_le_bytes().to_vec()));
    let part = w.tensor("part", &[1, 4, 4, 1], element::FLOAT32, None);
    let other = w.tensor("other", &[1, 4, 4, 2], element::FLOAT32, None);
    w.operator(operator::SPLIT, &[axis, 0], part, None);
    w.operators[0].0[2].1 = Content::Ints(vec![part, other]);
    w.dense(part, 16);
    let refused = read(&w.bytes()).err().unwrap().to_string();
    assert!(refused.contains("SPLIT") && refused.contains("a length of 3 into 2 parts"), "{refused}");
}

#[test]
fn a_resize_is_refused_with_advice_unless_it_changes_nothing() {
    for (side, inside) in [(4, false), (8, false), (8, true)] {
        let mut w = Written::new();
        let mut from = 0;
        if inside {
            from = w.tensor("limited", &[1, 4, 4, 3], element::FLOAT32, None);
            w.operator(operator::RELU, &[0], from, None);
        }
        let size = w.tensor("size", &[2], element::INT32, Some([side, 0, 0, 0, side, 0, 0, 0].to_vec()));
        let resized = w.tensor("resized", &[1, side.into(), side.into(), 3], element::FLOAT32, None);
        w.operator(operator::RESIZE_BILINEAR, &[from, size], resized, None);
        w.dense(resized, usize::from(side) * usize::from(side) * 3);
        match (side, read(&w.bytes())) {
            (4, result) => assert!(result.is_ok(), "{:?}", result.err()),
            (_, Ok(_)) => panic!("a resize to {side} is supported"),
            (_, Err(error)) => {
                let (error, advice) =
                    (error.to_string(), if inside { "segment" } else { "without this layer" });
                assert!(error.contains("RESIZE_BILINEAR") && error.contains(advice), "{error}");
            }
        }
    }
}

/// Returns the model of a mean over 2×2 pixels, with one scale and this zero point, from which another scale follows.
fn averaged(zero: i64, ratio: f32) -> Imported {
    let mut w = Written::new();
    w.quantized(0, element::INT8, zero);
    let mean = w.tensor("mean", &[1, 2, 2, 3], element::FLOAT32, None);
    w.quantized(mean, element::INT8, zero);
    let window = Table::default()
        .with(0, Content::Byte(1))
        .with(1, Content::Int(2))
        .with(2, Content::Int(2))
        .with(3, Content::Int(2))
        .with(4, Content::Int(2));
    w.operator(operator::AVERAGE_POOL_2D, &[0], mean, Some((options::POOL_2D, window)));
    let other = w.tensor("other", &[1, 2, 2, 3], element::FLOAT32, None);
    w.quantized(other, element::INT8, zero);
    if let Content::Table(grid) = &mut w.tensors[other as usize].0.last_mut().unwrap().1 {
        grid.0[0].1 = Content::Floats(vec![1.0 / 255.0 / ratio]);
    }
    w.operator(operator::QUANTIZE, &[mean], other, None);
    w.dense(other, 12);
    read(&w.bytes()).unwrap()
}

#[test]
fn halves_of_a_mean_are_rounded_away_from_the_byte_zero() {
    for (zero, inward) in [(-128, true), (-3, false), (0, false)] {
        let imported = averaged(zero, 1.25);
        let scales: Vec<f32> = imported.graph.given.values().map(|given| given.scale).collect();
        let near = |scale: &&f32| (**scale * 255.0 - 1.0).abs() < 1e-5;
        let moved = scales.iter().filter(near).find(|&&scale| scale != 1.0 / 255.0);
        let moved = moved.unwrap_or_else(|| panic!("{zero}: {scales:?}"));
        assert_eq!(*moved > 1.0 / 255.0, inward, "{zero}");
    }
}

#[test]
fn a_conversion_has_the_multiplier_of_xnnpack() {
    for (ratio, multiplier) in [(1.0137513, 260.0), (0.7, 179.0), (1.25, 320.0)] {
        let imported = averaged(0, ratio);
        let gain = imported.graph.nodes.iter().find_map(|node| match &node.op {
            crate::graph::Op::Affine { gain, .. } => gain.first().copied(),
            _ => None,
        });
        let factor = gain.unwrap_or(1.0);
        assert!((factor * ratio * 256.0 - multiplier).abs() < 1e-3, "{ratio}: {factor}");
    }
}
