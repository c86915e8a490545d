"""Order, opsets, domains, types, and last functions."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from model import CASES, B, case, stem


@case
def unsorted():
    b = B()
    y = b.head(stem(b), 16)
    b.n.reverse()
    m = b.done(y)
    return m, {}


@case
def logsoftmax():
    b = B()
    return b.done(b.op("LogSoftmax", b.head(stem(b), 16), axis=1)), {"last": "logsoftmax"}


@case
def log_of_softmax():
    b = B()
    return b.done(b.op("Log", b.op("Softmax", b.head(stem(b), 16), axis=1))), {"last": "logsoftmax"}


@case
def mean_two_steps():
    b = B()
    y = b.op("ReduceMean", b.op("ReduceMean", stem(b), axes=[3], keepdims=0), axes=[2], keepdims=0)
    return b.done(b.fc(y, 16))


@case
def mean_two_keep():
    b = B(18)
    y = b.op("ReduceMean", b.op("ReduceMean", stem(b), b.i(2), keepdims=1), b.i(3), keepdims=1)
    return b.done(b.fc(b.op("Flatten", y), 16))


@case
def sum_div():
    b = B()
    y = b.op("Div", b.op("ReduceSum", stem(b), b.i(2, 3), keepdims=0), b.f(256))
    return b.done(b.fc(y, 16))


@case
def sum_mul_two():
    b = B(11)
    y = b.op(
        "Mul", b.op("ReduceSum", b.op("ReduceSum", stem(b), axes=[-1], keepdims=0), axes=[-1], keepdims=0), b.f(1 / 256)
    )
    return b.done(b.fc(y, 16))


@case
def mean_rows_only():
    b = B()
    y = b.op("ReduceMean", b.cr(stem(b), 16, 16, st=4), axes=[2], keepdims=0)
    return b.done(b.fc(b.op("Flatten", y), 64))


@case
def mean_matmul():
    b = B()
    y = b.op("Reshape", stem(b), b.i(1, 16, 256))
    y = b.op("MatMul", y, b.c(np.full((256, 1), 1 / 256, np.float32)))
    return b.done(b.fc(b.op("Flatten", y), 16))


@case
def avgpool_kernel_global():
    b = B()
    y = b.op("AveragePool", stem(b), kernel_shape=[16, 16])
    return b.done(b.fc(b.op("Flatten", y), 16))


@case
def lppool_global():
    b = B()
    y = b.op("GlobalLpPool", stem(b), p=2)
    return b.done(b.fc(b.op("Flatten", y), 16)), {"refuse": "GlobalLpPool"}


@case
def lppool1_global():
    b = B()
    y = b.op("GlobalLpPool", stem(b), p=1)
    return b.done(b.fc(b.op("Flatten", y), 16)), {"refuse": "GlobalLpPool"}


@case
def mean_all():
    b = B()
    y = b.op("ReduceMean", stem(b), keepdims=0)
    y = b.op("Reshape", y, b.i(1, 1))
    return b.done(b.fc(y, 1))


@case
def embed_l2():
    b = B()
    y = b.head(stem(b), 16, 32)
    n = b.op("Clip", b.op("ReduceL2", y, axes=[1], keepdims=1), b.c(np.float32(1e-12)))
    n = b.op("Expand", n, b.op("Shape", y))
    return b.done(b.op("Div", y, n)), {"last": "length"}


@case
def embed_lpnorm():
    b = B()
    y = b.head(stem(b), 16, 32)
    return b.done(b.op("LpNormalization", y, axis=1, p=2)), {"last": "length"}


@case
def embed_tf():
    b = B(13)
    y = b.head(stem(b), 16, 32)
    s = b.op("ReduceSum", b.op("Mul", y, y), b.i(1), keepdims=1)
    n = b.op("Reciprocal", b.op("Sqrt", b.op("Max", s, b.f(1e-12))))
    return b.done(b.op("Mul", y, n)), {"last": "length"}


@case
def embed_pow():
    b = B(13)
    y = b.head(stem(b), 16, 32)
    n = b.op("Sqrt", b.op("ReduceSum", b.op("Pow", y, b.f(2)), b.i(-1), keepdims=1))
    return b.done(b.op("Div", y, n)), {"last": "length"}


@case
def embed_plain():
    b = B()
    y = b.op("Flatten", b.gap(b.cr(stem(b), 16, 32, st=2)))
    return b.done(y)


for o in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25):

    def f(o=o):
        b = B(o)
        y = b.op(
            "MaxPool",
            b.op("Relu", b.bn(b.conv("x", 3, 16, st=2), 16)),
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
        )
        z = b.conv(b.cr(y, 16, 16), 16, 16)
        y = b.op("Relu", b.op("Add", y, z))
        y = b.op("Flatten", b.gap(y))
        m = b.done(b.op("Softmax", b.fc(y, 16), axis=1))
        m.ir_version = 7 if o < 15 else 8 if o < 20 else 10
        return m, {"last": "softmax"}

    CASES[f"opset_{o}"] = f


@case
def f16_model():
    b = B(indtype=T.FLOAT)
    y = b.head(stem(b), 16)
    b.init = [
        nh.from_array(nh.to_array(t).astype(np.float16), t.name) if nh.to_array(t).dtype == np.float32 else t
        for t in b.init
    ]
    for n in b.n:
        for i, v in enumerate(n.input):
            if v == "x":
                n.input[i] = "xh"
    b.n.append(h.make_node("Cast", ["x"], ["xh"], to=T.FLOAT16))
    b.n = [b.n[-1]] + b.n[:-1]
    z = b.op("Cast", y, to=T.FLOAT)
    return b.done(z), {"floor": 35}


@case
def f16_input():
    b = B(indtype=T.FLOAT16)
    y = b.head(stem(b), 16)
    b.init = [
        nh.from_array(nh.to_array(t).astype(np.float16), t.name) if nh.to_array(t).dtype == np.float32 else t
        for t in b.init
    ]
    z = b.op("Cast", y, to=T.FLOAT)
    return b.done(z), {"floor": 35, "f16": True}


@case
def u8_input():
    b = B(indtype=T.UINT8, shape=(1, 3, 32, 32))
    y = b.op("Div", b.op("Cast", "x", to=T.FLOAT), b.f(255))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16)), {"u8": True}


@case
def u8_nhwc():
    b = B(indtype=T.UINT8, shape=(1, 32, 32, 3))
    y = b.op("Transpose", "x", perm=[0, 3, 1, 2])
    y = b.op("Mul", b.op("Cast", y, to=T.FLOAT), b.f(1 / 255))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16)), {"u8": True, "nhwc": True}


@case
def local_function():
    b = B()
    w = b.w(16, 3, 3, 3)
    f = h.make_function(
        "my",
        "ConvRelu",
        ["a", "w"],
        ["o"],
        [h.make_node("Conv", ["a", "w"], ["t"], pads=[1, 1, 1, 1], strides=[2, 2]), h.make_node("Relu", ["t"], ["o"])],
        [h.make_opsetid("", 17)],
    )
    b.functions = [f]
    b.domains = ["my"]
    y = b.op("ConvRelu", "x", w, domain="my")
    return b.done(b.head(y, 16))


@case
def local_function_attr():
    b = B()
    w = b.w(16, 3, 3, 3)
    w2 = b.w(16, 16, 3, 3)
    n = h.make_node("Conv", ["a", "w"], ["t"], pads=[1, 1, 1, 1])
    n.attribute.append(onnx.AttributeProto(name="strides", ref_attr_name="s", type=onnx.AttributeProto.INTS))
    f = h.make_function(
        "my", "CR", ["a", "w"], ["o"], [n, h.make_node("Relu", ["t"], ["o"])], [h.make_opsetid("", 17)], ["s"]
    )
    f2 = h.make_function(
        "my",
        "Two",
        ["a", "w", "v"],
        ["o"],
        [
            h.make_node("CR", ["a", "w"], ["q"], domain="my", s=[2, 2]),
            h.make_node("CR", ["q", "v"], ["o"], domain="my", s=[1, 1]),
        ],
        [h.make_opsetid("", 17), h.make_opsetid("my", 1)],
    )
    b.functions = [f, f2]
    b.domains = ["my"]
    y = b.op("Two", "x", w, w2, domain="my")
    return b.done(b.head(y, 16))


@case
def init_inputs():
    b = B(8)
    m = b.done(b.head(stem(b), 16))
    for t in m.graph.initializer:
        m.graph.input.append(h.make_tensor_value_info(t.name, t.data_type, list(t.dims)))
    m.ir_version = 3
    return m


@case
def two_outputs():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    z = b.fc(y, 16)
    return b.done(z, outs=[y, z]), {"out": z, "flags": ["--output-name", z]}


@case
def two_outputs_feat():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    z = b.fc(y, 16)
    return b.done(z, outs=[z, y]), {"out": y, "flags": ["--output-name", y]}


@case
def two_outputs_unnamed():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    z = b.fc(y, 16)
    return b.done(z, outs=[z, y]), {"refuse": "--output-name"}


@case
def dyn_hw():
    b = B(shape=("n", 3, "h", "w"))
    return b.done(b.head(stem(b), 16)), {"flags": ["--input-size", "32x32"]}


@case
def dyn_hw_none():
    b = B(shape=("n", 3, "h", "w"))
    return b.done(b.head(stem(b), 16)), {"refuse": "--input-size"}


@case
def dyn_hw_nhwc():
    b = B(shape=("n", "h", "w", 3))
    y = b.op("Transpose", "x", perm=[0, 3, 1, 2])
    return b.done(b.head(b.cr(y, 3, 16), 16)), {"flags": ["--input-size", "32x32"], "nhwc": True}


@case
def dyn_all():
    b = B(shape=("n", "c", "h", "w"))
    return b.done(b.head(stem(b), 16)), {"flags": ["--input-size", "32x32"]}


@case
def unused_branch():
    b = B()
    y = stem(b)
    b.op("NonMaxSuppression", b.c(np.zeros((1, 1, 4), np.float32)), b.c(np.zeros((1, 1, 1), np.float32)))
    b.op("ArgMax", y, axis=1)
    return b.done(b.head(y, 16))


@case
def gemm_transA_const():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    yt = b.op("Transpose", y, perm=[1, 0])
    return b.done(b.op("Gemm", yt, b.w(16, 10), transA=1))


@case
def matmul_left():
    b = B()
    y = b.op("Reshape", b.gap(stem(b)), b.i(16, 1))
    y = b.op("MatMul", b.w(10, 16), y)
    return b.done(b.op("Reshape", y, b.i(1, 10)))


@case
def sub_values():
    b = B()
    y = stem(b)
    y = b.op("Relu", b.op("Sub", b.conv(y, 16, 16), y))
    return b.done(b.head(y, 16))


@case
def mean_nary():
    b = B()
    y = stem(b)
    y = b.op("Mean", b.cr(y, 16, 16), b.cr(y, 16, 16), y)
    return b.done(b.head(y, 16))


@case
def max_values():
    b = B()
    y = stem(b)
    y = b.op("Max", b.conv(y, 16, 16), y)
    return b.done(b.head(y, 16)), {"refuse": "Max"}


@case
def min_values():
    b = B()
    y = stem(b)
    y = b.op("Min", b.conv(y, 16, 16), y)
    return b.done(b.head(b.cr(y, 16, 16), 16)), {"refuse": "Min"}


@case
def mul_values_same():
    b = B()
    y = stem(b)
    y = b.op("Mul", b.conv(y, 16, 16), y)
    return b.done(b.head(y, 16)), {"refuse": "Mul"}


@case
def argmax_out():
    b = B()
    y = b.head(stem(b), 16)
    return b.done(b.op("Cast", b.op("ArgMax", y, axis=1, keepdims=0), to=T.FLOAT)), {"refuse": "ArgMax"}


@case
def soft_decomp():
    b = B(13)
    y = b.head(stem(b), 16)
    e = b.op("Exp", b.op("Sub", y, b.op("ReduceMax", y, axes=[1], keepdims=1)))
    return b.done(b.op("Div", e, b.op("ReduceSum", e, b.i(1), keepdims=1))), {"last": "softmax"}


@case
def logsoft_decomp():
    b = B(13)
    y = b.head(stem(b), 16)
    return b.done(b.op("Sub", y, b.op("ReduceLogSumExp", y, axes=[1], keepdims=1))), {"last": "logsoftmax"}


@case
def conv1d_pointwise():
    b = B()
    y = b.op("Reshape", stem(b), b.i(1, 16, 256))
    y = b.op("Conv", y, b.w(16, 16, 1))
    y = b.op("ReduceMean", b.op("Relu", y), axes=[2], keepdims=0)
    return b.done(b.fc(y, 16))


@case
def matmul_pointwise_tokens():
    b = B()
    y = b.op("Transpose", b.op("Reshape", stem(b), b.i(1, 16, 256)), perm=[0, 2, 1])
    y = b.op("Relu", b.op("Add", b.op("MatMul", y, b.w(16, 24)), b.w(24)))
    y = b.op("ReduceMean", y, axes=[1], keepdims=0)
    return b.done(b.fc(y, 24))


@case
def convtranspose():
    b = B()
    y = b.op("ConvTranspose", stem(b), b.w(16, 8, 2, 2), strides=[2, 2])
    return b.done(b.head(b.op("Relu", y), 8)), {"refuse": "ConvTranspose"}


@case
def bn_first():
    b = B()
    y = b.bn("x", 3)
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def relu_first():
    b = B()
    y = b.op("Relu", b.op("Sub", "x", b.f(0.2)))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def two_stream_pixels():
    b = B()
    y = b.op("Concat", b.cr("x", 3, 8, st=2), b.cr("x", 3, 8, k=5, st=2), axis=1)
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def concat_pixels():
    b = B()
    y = b.op("Concat", "x", b.cr("x", 3, 5), axis=1)
    return b.done(b.head(b.cr(y, 8, 16, st=2), 16))


@case
def coordconv():
    b = B()
    g = np.stack(np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))).astype(np.float32)[None]
    y = b.op("Concat", "x", b.c(g), axis=1)
    return b.done(b.head(b.cr(y, 5, 16, st=2), 16)), {"refuse": "Conv"}


@case
def const_channel():
    b = B()
    y = b.op("Concat", stem(b), b.c(np.full((1, 1, 16, 16), 0.7, np.float32)), axis=1)
    return b.done(b.head(b.cr(y, 17, 16), 16))


@case
def add_pos_const():
    b = B()
    y = b.op("Add", stem(b), b.w(1, 16, 16, 16))
    return b.done(b.head(b.cr(y, 16, 16), 16)), {"refuse": "Add"}


@case
def seq_token_cls():
    b = B()
    y = b.op("Transpose", b.op("Reshape", stem(b), b.i(1, 16, 256)), perm=[0, 2, 1])
    y = b.op("Gather", y, b.c(np.int64(0)), axis=1)
    return b.done(b.fc(y, 16))


@case
def center_pixel():
    b = B()
    y = b.op("Slice", b.cr(stem(b), 16, 16, st=2), b.i(3, 3), b.i(5, 5), b.i(2, 3))
    return b.done(b.head(y, 16))


@case
def tta_flip():
    b = B()
    w = [b.w(16, 3, 3, 3), b.w(10, 16)]
    f = lambda x: b.op(
        "Gemm",
        b.op("Flatten", b.gap(b.op("Relu", b.op("Conv", x, w[0], strides=[2, 2], pads=[1, 1, 1, 1])))),
        w[1],
        transB=1,
    )
    return b.done(b.op("Add", f("x"), f(b.op("Slice", "x", b.i(-1), b.i(-100), b.i(3), b.i(-1)))))
