//! Reads and runs TFLite files for tests, from the format's and the operators' descriptions, in real numbers.

use std::collections::HashMap;

/// A TFLite file.
pub struct Model {
    pub version: u32,
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
    pub input: usize,
    pub output: usize,
}

pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// The number of its `TensorType`: 9 is int8, 2 int32.
    pub element: u8,
    pub scale: Vec<f32>,
    pub zero: Vec<i64>,
    pub axis: usize,
    pub data: Option<Vec<u8>>,
}

pub struct Operator {
    pub code: i32,
    pub version: i32,
    pub inputs: Vec<usize>,
    pub output: usize,
    /// The fields of the options, by number; missing ones have the schema's default.
    pub options: HashMap<u16, i32>,
}

#[derive(Clone, Copy)]
struct Table<'a>(&'a [u8], usize);

fn u16_at(b: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(b[at..at + 2].try_into().unwrap()))
}

fn u32_at(b: &[u8], at: usize) -> usize {
    assert!(at.is_multiple_of(4), "a word at {at}");
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap()) as usize
}

impl<'a> Table<'a> {
    fn place(self, field: u16) -> Option<usize> {
        let vtable = self.1 - u32_at(self.0, self.1);
        let entry = 4 + 2 * usize::from(field);
        if entry >= u16_at(self.0, vtable) {
            return None;
        }
        Some(u16_at(self.0, vtable + entry)).filter(|&o| o > 0).map(|o| self.1 + o)
    }

    fn byte(self, field: u16) -> u8 {
        self.place(field).map_or(0, |at| self.0[at])
    }

    fn int(self, field: u16) -> i32 {
        self.place(field).map_or(0, |at| u32_at(self.0, at) as i32)
    }

    fn target(self, field: u16) -> Option<usize> {
        self.place(field).map(|at| at + u32_at(self.0, at))
    }

    /// Returns the elements of a vector, of `size` bytes each.
    fn vector(self, field: u16, size: usize, align: usize) -> Vec<&'a [u8]> {
        let Some(at) = self.target(field) else { return vec![] };
        assert!((at + 4).is_multiple_of(align), "a vector's elements at {}", at + 4);
        let length = u32_at(self.0, at);
        self.0[at + 4..at + 4 + size * length].chunks_exact(size).collect()
    }

    fn ints(self, field: u16) -> Vec<usize> {
        self.vector(field, 4, 4).iter().map(|v| u32_at(v, 0)).collect()
    }

    fn tables(self, field: u16) -> Vec<Table<'a>> {
        let Some(at) = self.target(field) else { return vec![] };
        (0..u32_at(self.0, at))
            .map(|i| at + 4 + 4 * i)
            .map(|at| Table(self.0, at + u32_at(self.0, at)))
            .collect()
    }

    fn table(self, field: u16) -> Option<Table<'a>> {
        self.target(field).map(|at| Table(self.0, at))
    }

    fn text(self, field: u16) -> String {
        let bytes = self.vector(field, 1, 4).concat();
        let end = self.target(field).unwrap() + 4 + bytes.len();
        assert_eq!(self.0[end], 0, "a string ends in a zero");
        String::from_utf8(bytes).unwrap()
    }
}

impl Model {
    pub fn read(b: &[u8]) -> Self {
        assert_eq!(&b[4..8], b"TFL3");
        let model = Table(b, u32_at(b, 0));
        let buffers = model.tables(4);
        assert!(buffers[0].target(0).is_none(), "the first buffer is empty");
        let codes = model.tables(1);
        let [graph] = model.tables(2)[..] else { panic!("one graph") };
        let tensor = |t: &Table<'_>| {
            let scales = t.table(4);
            let buffer = t.int(2) as usize;
            Tensor {
                name: t.text(3),
                shape: t.ints(0),
                element: t.byte(1),
                scale: scales.map_or(vec![], |s| {
                    s.vector(2, 4, 4).iter().map(|v| f32::from_le_bytes((*v).try_into().unwrap())).collect()
                }),
                zero: scales.map_or(vec![], |s| {
                    s.vector(3, 8, 8).iter().map(|v| i64::from_le_bytes((*v).try_into().unwrap())).collect()
                }),
                axis: scales.map_or(0, |s| s.int(6) as usize),
                data: (buffer > 0).then(|| buffers[buffer].vector(0, 1, 16).concat()),
            }
        };
        let operator = |o: &Table<'_>| {
            let code = codes[o.int(0) as usize];
            let [output] = o.ints(2)[..] else { panic!("one output") };
            let mut options = HashMap::new();
            if let Some(table) = o.table(4) {
                // In the tables used here, a byte is an enumeration or a Boolean.
                let bytes: &[u16] = match o.byte(3) {
                    1 => &[0, 3],
                    2 => &[0, 4],
                    5 => &[0, 5],
                    10 => &[1],
                    11 | 21 | 27 => &[0],
                    17 | 22 | 39 | 43 | 89 => &[],
                    other => panic!("options {other}"),
                };
                for field in 0..8 {
                    if bytes.contains(&field) {
                        options.insert(field, i32::from(table.byte(field)));
                    } else if table.place(field).is_some() {
                        options.insert(field, table.int(field));
                    }
                }
            }
            Operator {
                code: code.int(3).max(i32::from(code.byte(0))),
                version: code.int(2),
                inputs: o.ints(1),
                output,
                options,
            }
        };
        Self {
            version: model.int(0) as u32,
            tensors: graph.tables(0).iter().map(tensor).collect(),
            operators: graph.tables(3).iter().map(operator).collect(),
            input: graph.ints(1)[0],
            output: graph.ints(2)[0],
        }
    }

    /// Runs on int8 pixels; `see` receives every operator's result and may replace it. Returns the output.
    pub fn run(&self, pixels: &[i8], mut see: impl FnMut(&Tensor, &mut Vec<i8>)) -> Vec<i8> {
        let constant = |t: &Tensor| match (&t.data, t.element) {
            (Some(data), 9) => data.iter().map(|&b| b as i8).collect(),
            _ => vec![],
        };
        let mut values: Vec<Vec<i8>> = self.tensors.iter().map(constant).collect();
        values[self.input] = pixels.to_vec();
        for operator in &self.operators {
            let mut result = self.apply(operator, &values);
            let tensor = &self.tensors[operator.output];
            assert_eq!(result.len(), tensor.shape.iter().product::<usize>(), "{}", tensor.name);
            see(tensor, &mut result);
            values[operator.output] = result;
        }
        values[self.output].clone()
    }

    fn int32(&self, id: usize) -> Vec<i32> {
        let tensor = &self.tensors[id];
        assert_eq!(tensor.element, 2, "{}", tensor.name);
        tensor.data.as_ref().unwrap().as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect()
    }

    fn apply(&self, o: &Operator, values: &[Vec<i8>]) -> Vec<i8> {
        let tensor = |i: usize| &self.tensors[o.inputs[i]];
        let value = |i: usize| &values[o.inputs[i]];
        let to = &self.tensors[o.output];
        let real = |i: usize, at: usize| {
            let t = tensor(i);
            (f64::from(value(i)[at]) - t.zero[0] as f64) * f64::from(t.scale[0])
        };
        let rounded = |real: f64, relu: bool| {
            let lowest = if relu { to.zero[0] as f64 } else { -128.0 };
            ((real / f64::from(to.scale[0])).round() + to.zero[0] as f64).clamp(lowest.max(-128.0), 127.0)
                as i8
        };
        let option = |field: u16, default: i32| o.options.get(&field).copied().unwrap_or(default);
        let alike = |i: usize| {
            assert_eq!((&tensor(i).scale, &tensor(i).zero), (&to.scale, &to.zero), "{}", to.name);
        };
        let pixels = to.shape.iter().product::<usize>();
        // The index of the other operand's value, which may be one per channel or one for all.
        let cast = |i: usize, at: usize| at % value(i).len();
        match o.code {
            0 => (0..pixels)
                .map(|at| rounded(real(0, cast(0, at)) + real(1, cast(1, at)), option(0, 0) == 1))
                .collect(),
            18 => {
                (0..pixels).map(|at| rounded(real(0, at) * real(1, cast(1, at)), option(0, 0) == 1)).collect()
            }
            55 | 57 => {
                alike(0);
                alike(1);
                let pick = |(&a, b): (&i8, i8)| if o.code == 55 { a.max(b) } else { a.min(b) };
                value(0).iter().map(|a| pick((a, value(1)[0]))).collect()
            }
            14 => (0..pixels).map(|at| rounded(1.0 / (1.0 + libm::exp(-real(0, at))), false)).collect(),
            28 => (0..pixels).map(|at| rounded(libm::tanh(real(0, at)), false)).collect(),
            114 => (0..pixels).map(|at| rounded(real(0, at), false)).collect(),
            22 => {
                alike(0);
                value(0).clone()
            }
            40 => {
                assert_eq!((self.int32(o.inputs[1]), option(0, 0)), (vec![1, 2], 1), "the mean of a channel");
                let c = to.shape[3];
                let n = value(0).len() / c;
                (0..c)
                    .map(|c0| rounded((0..n).map(|p| real(0, p * c + c0)).sum::<f64>() / n as f64, false))
                    .collect()
            }
            2 => {
                let axis = option(0, 0) as usize;
                (0..o.inputs.len()).for_each(alike);
                let outer: usize = to.shape[..axis].iter().product();
                let row = |i: usize| value(i).len() / outer;
                (0..outer)
                    .flat_map(|n| {
                        (0..o.inputs.len()).flat_map(move |i| &value(i)[n * row(i)..(n + 1) * row(i)])
                    })
                    .copied()
                    .collect()
            }
            34 | 60 => {
                alike(0);
                let by: Vec<usize> = self.int32(o.inputs[1]).iter().map(|&v| v as usize).collect();
                let [top, bottom, left, right] = by[2..6] else { panic!("four axes") };
                let fill = if o.code == 60 { value(2)[0] } else { to.zero[0] as i8 };
                let shape = &tensor(0).shape;
                let (h, w, c) = (shape[1], shape[2], shape[3]);
                let mut padded = vec![fill; (h + top + bottom) * (w + left + right) * c];
                for (y, row) in value(0).chunks_exact(w * c).enumerate() {
                    padded[((y + top) * (w + left + right) + left) * c..][..w * c].copy_from_slice(row);
                }
                padded
            }
            3 | 4 | 17 => self.window(o, values, &rounded),
            other => panic!("operator {other}"),
        }
    }

    /// Runs operators with a moving window: convolutions and max pooling.
    fn window(&self, o: &Operator, values: &[Vec<i8>], rounded: &dyn Fn(f64, bool) -> i8) -> Vec<i8> {
        let (x, to) = (&self.tensors[o.inputs[0]], &self.tensors[o.output]);
        let option = |field: u16, default: i32| o.options.get(&field).copied().unwrap_or(default);
        let stride = [option(2, 0) as usize, option(1, 0) as usize];
        let (kernel, dilation, relu) = if o.code == 17 {
            ([option(4, 0), option(3, 0)], [1, 1], option(5, 0))
        } else {
            let shape = &self.tensors[o.inputs[1]].shape;
            let shift = u16::from(o.code == 4);
            let dilation = [option(5 + shift, 1), option(4 + shift, 1)];
            ([shape[1] as i32, shape[2] as i32], dilation, option(3 + shift, 0))
        };
        let reach = |axis: usize| ((kernel[axis] - 1) * dilation[axis] + 1) as usize;
        let before = [0, 1].map(|axis| {
            let (from, steps) = (x.shape[1 + axis], to.shape[1 + axis]);
            if option(0, 0) == 0 {
                assert_eq!(steps, from.div_ceil(stride[axis]), "{}: same", to.name);
                ((steps - 1) * stride[axis] + reach(axis)).saturating_sub(from) / 2
            } else {
                assert_eq!(steps, (from - reach(axis)) / stride[axis] + 1, "{}: valid", to.name);
                0
            }
        });
        let (c_in, c_out) = (x.shape[3], to.shape[3]);
        let input = &values[o.inputs[0]];
        let mut out = Vec::new();
        for at in 0..to.shape[1] * to.shape[2] * c_out {
            let (place, oc) = (at / c_out, at % c_out);
            let origin = [place / to.shape[2] * stride[0], place % to.shape[2] * stride[1]];
            // The taps inside the input: number of the tap, index of the first channel.
            let taps = (0..kernel[0] * kernel[1]).filter_map(|tap| {
                let offset = [tap / kernel[1] * dilation[0], tap % kernel[1] * dilation[1]];
                let [y, x0] = [0, 1].map(|a| (origin[a] + offset[a] as usize).checked_sub(before[a]));
                let (y, x0) = (y.filter(|&y| y < x.shape[1])?, x0.filter(|&x0| x0 < x.shape[2])?);
                Some((tap as usize, (y * x.shape[2] + x0) * c_in))
            });
            if o.code == 17 {
                out.push(taps.map(|(_, at)| input[at + oc]).max().unwrap());
                continue;
            }
            let (weights, bias) = (&self.tensors[o.inputs[1]], &self.tensors[o.inputs[2]]);
            let w = &values[o.inputs[1]];
            let depthwise = o.code == 4;
            let per_filter = if depthwise { 1 } else { weights.shape[3] };
            let first = if depthwise {
                assert_eq!(option(3, 0) as usize * c_in, c_out, "{}: multiplier", to.name);
                oc / (c_out / c_in)
            } else {
                oc / (c_out / (c_in / per_filter)) * per_filter
            };
            assert_eq!(weights.axis, if depthwise { 3 } else { 0 }, "{}: the axis of channels", to.name);
            // Filters that read a part of the channels are supported from version 6.
            assert!(depthwise || (o.version >= 6) == (per_filter < c_in), "{}: version", to.name);
            let mut sum = i64::from(self.int32(o.inputs[2])[oc]);
            let all = (kernel[0] * kernel[1]) as usize;
            for (tap, at) in taps {
                for i in 0..per_filter {
                    let weight =
                        if depthwise { w[tap * c_out + oc] } else { w[(oc * all + tap) * per_filter + i] };
                    sum += (i64::from(input[at + first + i]) - x.zero[0]) * i64::from(weight);
                }
            }
            let scale = f64::from(x.scale[0]) * f64::from(weights.scale[oc]);
            assert!((f64::from(bias.scale[oc]) / scale - 1.0).abs() < 1e-6, "{}: bias", to.name);
            out.push(rounded(sum as f64 * scale, relu == 1));
        }
        out
    }
}
