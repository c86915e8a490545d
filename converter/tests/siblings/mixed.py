"""Several of these together."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from model import B, case, stem


@case
def gather_scalar_channel():
    b = B()
    y = b.op("Gather", stem(b), b.c(np.int64(3)), axis=1)
    y = b.op("Unsqueeze", y, b.i(1))
    return b.done(b.head(b.cr(y, 1, 16), 16))


@case
def adaptive_2x2():
    b = B()
    y = b.op("AveragePool", stem(b), kernel_shape=[8, 8], strides=[8, 8])
    return b.done(b.fc(b.op("Flatten", y), 64))


@case
def concat_pool_2x2():
    b = B()
    y = stem(b)
    y = b.op(
        "Concat",
        b.op("MaxPool", y, kernel_shape=[8, 8], strides=[8, 8]),
        b.op("AveragePool", y, kernel_shape=[8, 8], strides=[8, 8]),
        axis=1,
    )
    return b.done(b.fc(b.op("Flatten", y), 128))


@case
def add_max_avg():
    b = B()
    y = stem(b)
    y = b.op("Add", b.op("GlobalMaxPool", y), b.gap(y))
    return b.done(b.fc(b.op("Flatten", y), 16))


@case
def split_num_outputs():
    b = B(18)
    p = b.op("Split", stem(b, 18), outs=4, axis=1, num_outputs=4)
    y = b.op("Concat", *p[::-1], axis=1)
    return b.done(b.head(b.cr(y, 18, 16), 16))


@case
def split_uneven():
    b = B()
    p = b.op("Split", stem(b), b.i(4, 12), outs=2, axis=1)
    y = b.op("Concat", b.cr(p[0], 4, 8), p[1], axis=1)
    return b.done(b.head(b.cr(y, 20, 16), 16))


@case
def pixel_unshuffle():
    b = B()
    y = b.op("Reshape", stem(b), b.i(1, 16, 8, 2, 8, 2))
    y = b.op("Transpose", y, perm=[0, 1, 3, 5, 2, 4])
    y = b.op("Reshape", y, b.i(1, 64, 8, 8))
    return b.done(b.head(b.cr(y, 64, 16, k=1), 16))


@case
def patchify_input():
    b = B()
    y = b.op("Reshape", "x", b.i(1, 3, 8, 4, 8, 4))
    y = b.op("Transpose", y, perm=[0, 1, 3, 5, 2, 4])
    y = b.op("Reshape", y, b.i(1, 48, 8, 8))
    return b.done(b.head(b.cr(y, 48, 16, k=1), 16))


@case
def einsum_pointwise():
    b = B()
    y = b.op("Einsum", stem(b), b.w(16, 16), equation="bchw,oc->bohw")
    return b.done(b.head(b.op("Relu", y), 16))


@case
def einsum_dense():
    b = B()
    y = b.op("Einsum", b.op("Flatten", b.gap(stem(b))), b.w(10, 16), equation="bc,oc->bo")
    return b.done(y)


@case
def fused_conv():
    b = B()
    b.domains = ["com.microsoft"]
    y = b.op(
        "FusedConv",
        "x",
        b.w(16, 3, 3, 3),
        b.w(16),
        domain="com.microsoft",
        activation="Relu",
        pads=[1, 1, 1, 1],
        strides=[2, 2],
    )
    return b.done(b.head(y, 16))


@case
def cast_like():
    b = B()
    y = stem(b)
    y = b.op("Mul", y, b.op("CastLike", b.c(np.array([2], np.int64)), y))
    return b.done(b.head(y, 16))


@case
def cast_like_value():
    b = B()
    y = stem(b)
    y = b.op("CastLike", y, b.c(np.zeros(1, np.float16)))
    y = b.op("CastLike", y, b.f(1))
    return b.done(b.head(y, 16))


@case
def shape_start_end():
    b = B(15)
    y = b.gap(stem(b))
    s = b.op("Shape", y, start=1, end=2)
    y = b.op("Reshape", y, b.op("Concat", b.i(1), s, axis=0))
    return b.done(b.fc(y, 16))


@case
def size_op():
    b = B()
    y = b.gap(stem(b))
    y = b.op("Reshape", y, b.op("Concat", b.i(1), b.op("Unsqueeze", b.op("Size", y), b.i(0)), axis=0))
    return b.done(b.fc(y, 16))


@case
def scatter_elements():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    y = b.op(
        "ScatterElements", y, b.c(np.array([[0, 2, 4]], np.int64)), b.c(np.array([[0.1, 0.2, 0.3]], np.float32)), axis=1
    )
    return b.done(b.fc(y, 16))


@case
def norm_pow():
    b = B(18)
    y = b.head(stem(b), 16, 32)
    n = b.op("Pow", b.op("ReduceSum", b.op("Pow", b.op("Abs", y), b.f(2)), b.i(1), keepdims=1), b.f(0.5))
    return b.done(b.op("Div", y, b.op("Add", n, b.f(1e-8)))), {"last": "length"}


@case
def resnet_d():
    b = B()
    y = stem(b)
    z = b.conv(b.cr(y, 16, 32, st=2), 32, 32)
    s = b.conv(
        b.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=0), 16, 32, k=1
    )
    return b.done(b.head(b.op("Relu", b.op("Add", z, s)), 32))


@case
def concat_bn_relu_pool():
    b = B()
    y = stem(b)
    y = b.op("Concat", y, b.conv(y, 16, 8), axis=1)
    y = b.op("Relu", b.bn(y, 24))
    y = b.op("AveragePool", b.conv(y, 24, 12, k=1), kernel_shape=[2, 2], strides=[2, 2])
    return b.done(b.head(b.op("Relu", y), 12))


@case
def stack_sum():
    b = B(13)
    y = stem(b)
    z = b.cr(y, 16, 16)
    y = b.op(
        "ReduceSum",
        b.op("Concat", b.op("Unsqueeze", y, b.i(1)), b.op("Unsqueeze", z, b.i(1)), axis=1),
        b.i(1),
        keepdims=0,
    )
    return b.done(b.head(y, 16))


@case
def radix_sum():
    b = B(13)
    y = b.cr(stem(b), 16, 32)
    y = b.op("ReduceSum", b.op("Reshape", y, b.i(1, 2, 16, 16, 16)), b.i(1), keepdims=0)
    return b.done(b.head(y, 16))


@case
def tile_nop():
    b = B()
    y = b.op("Tile", stem(b), b.i(1, 1, 1, 1))
    return b.done(b.head(y, 16))


@case
def expand_nop():
    b = B()
    y = stem(b)
    y = b.op("Expand", y, b.op("Shape", y))
    return b.done(b.head(y, 16))


@case
def slice_nop():
    b = B()
    y = b.op("Slice", stem(b), b.i(0, 0), b.i(2**62, 2**62), b.i(2, 3))
    return b.done(b.head(y, 16))


@case
def concat_single():
    b = B()
    y = b.op("Concat", stem(b), axis=1)
    return b.done(b.head(y, 16))


@case
def gather_repeat():
    b = B()
    y = b.op("Gather", stem(b), b.i(*[i // 2 for i in range(32)]), axis=1)
    return b.done(b.head(b.cr(y, 32, 16), 16))


@case
def gather_before_depthwise():
    b = B()
    y = b.op("Gather", stem(b), b.i(*range(15, -1, -1)), axis=1)
    return b.done(b.head(b.cr(y, 16, 16, g=16), 16))


@case
def slice_after_pool():
    b = B()
    y = b.op("MaxPool", stem(b), kernel_shape=[2, 2], strides=[2, 2])
    y = b.op("Slice", y, b.i(4), b.i(12), b.i(1))
    return b.done(b.head(b.cr(y, 8, 16), 16))


@case
def slice_of_sum():
    b = B()
    y = stem(b)
    y = b.op("Relu", b.op("Add", y, b.conv(y, 16, 16)))
    y = b.op("Slice", y, b.i(0), b.i(8), b.i(1))
    return b.done(b.head(b.cr(y, 8, 16), 16))


@case
def pad_channels_then_bn():
    b = B()
    y = b.op("Pad", stem(b), b.i(0, 4, 0, 0, 0, 4, 0, 0))
    return b.done(b.head(b.op("Relu", b.bn(y, 24)), 24))


@case
def pad_axes():
    b = B(18)
    y = b.op("Pad", stem(b), b.i(1, 1, 1, 1), "", b.i(-2, -1))
    return b.done(b.head(b.cr(y, 16, 16, p=0), 16))


@case
def pad_edge_11():
    b = B(11)
    y = b.op("Pad", "x", b.i(0, 0, 2, 2, 0, 0, 2, 2), mode="edge")
    return b.done(b.head(b.cr(y, 3, 16, k=5, p=0, st=2), 16))


@case
def blur_pool():
    b = B()
    y = b.op("Pad", stem(b), b.i(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    k = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    y = b.op("Conv", y, b.c(np.tile(k[None, None], (16, 1, 1, 1))), group=16, strides=[2, 2])
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def global_mean_axes_all_neg():
    b = B(18)
    y = b.op("ReduceMean", stem(b), b.i(-1, -2), keepdims=0)
    return b.done(b.fc(y, 16))


@case
def mean_flat_last():
    b = B()
    y = b.op("Reshape", stem(b), b.i(1, 16, -1))
    y = b.op("ReduceMean", y, axes=[2], keepdims=0)
    return b.done(b.fc(y, 16))


@case
def max_flat_last():
    b = B()
    y = b.op("Reshape", stem(b), b.i(1, 16, -1))
    y = b.op("ReduceMax", y, axes=[2], keepdims=0)
    return b.done(b.fc(y, 16))


@case
def reduce_sum_then_bn():
    b = B()
    y = b.op("ReduceSum", stem(b), b.i(2, 3), keepdims=1)
    return b.done(b.fc(b.op("Flatten", b.bn(y, 16)), 16))


@case
def mean_over_channels_gate():
    b = B()
    y = stem(b)
    y = b.op("ReduceMean", y, axes=[1], keepdims=1)
    return b.done(b.head(b.cr(y, 1, 16), 16))


@case
def qdq_u8_act():
    b = B()
    s, z = b.c(np.float32(0.02)), b.c(np.uint8(0))
    y = stem(b)
    y = b.op("DequantizeLinear", b.op("QuantizeLinear", y, s, z), s, z)
    return b.done(b.head(y, 16)), {"floor": 25}


@case
def qdq_other_scale():
    b = B()
    s, z, s2 = b.c(np.float32(0.02)), b.c(np.uint8(0)), b.c(np.float32(0.05))
    y = stem(b)
    y = b.op("DequantizeLinear", b.op("QuantizeLinear", y, s, z), s2, z)
    return b.done(b.head(y, 16)), {"refuse": "DequantizeLinear"}


@case
def if_two_branches():
    b = B()
    y = stem(b)
    w1, w2 = b.w(16, 16, 3, 3), b.w(16, 16, 3, 3)
    tg = h.make_graph(
        [h.make_node("Conv", [y, w1], ["o1"], pads=[1] * 4)], "t", [], [h.make_tensor_value_info("o1", T.FLOAT, None)]
    )
    eg = h.make_graph(
        [h.make_node("Conv", [y, w2], ["o2"], pads=[1] * 4)], "e", [], [h.make_tensor_value_info("o2", T.FLOAT, None)]
    )
    z = b.name()
    b.n.append(h.make_node("If", [b.c(np.bool_(False))], [z], then_branch=tg, else_branch=eg))
    return b.done(b.head(b.op("Relu", z), 16))


@case
def const_where_shape():
    b = B()
    y = b.gap(stem(b))
    s = b.op("Shape", y)
    n = b.op("ConstantOfShape", b.i(2), value=nh.from_array(np.array([-1], np.int64)))
    t = b.op("Where", b.op("Equal", n, b.i(-1, -1)), b.op("Concat", b.op("Gather", s, b.i(0)), b.i(16), axis=0), n)
    return b.done(b.fc(b.op("Reshape", y, t), 16))


@case
def const_scatter_weights():
    b = B()
    w = b.op("ScatterND", b.w(16, 3, 3, 3), b.c(np.array([[0], [5]], np.int64)), b.w(2, 3, 3, 3))
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_argmax_gather():
    b = B()
    w = b.op(
        "Mul", b.w(20, 3, 3, 3), b.c(np.linspace(0.3, 1.7, 20, dtype=np.float32)[::-1].reshape(20, 1, 1, 1).copy())
    )
    n = b.op("ReduceSum", b.op("Abs", w), b.i(1, 2, 3), keepdims=0)
    i = b.op("TopK", n, b.i(16), outs=2)[1]
    ww = b.op("Gather", w, i)
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_layernorm_weights():
    b = B()
    w = b.op("Reshape", b.w(16, 3, 3, 3), b.i(16, 27))
    w = b.op("LayerNormalization", w, b.c(np.ones(27, np.float32)), axis=-1)
    ww = b.op("Reshape", w, b.i(16, 3, 3, 3))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_sparse():
    b = B()
    w = b.op("Mul", b.w(16, 3, 3, 3), b.op("Cast", b.op("GreaterOrEqual", b.w(16, 3, 3, 3), b.f(0)), to=T.FLOAT))
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_int8_weights():
    b = B()
    w = b.op("Mul", b.op("Cast", b.c(b.r.randint(-100, 100, (16, 3, 3, 3)).astype(np.int8)), to=T.FLOAT), b.f(0.005))
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_dequant_u8_zero():
    b = B()
    w = b.op(
        "DequantizeLinear",
        b.c(b.r.randint(0, 255, (16, 3, 3, 3)).astype(np.uint8)),
        b.c(np.float32(0.004)),
        b.c(np.uint8(128)),
    )
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_dequant_u16():
    b = B(21)
    w = b.op(
        "DequantizeLinear",
        b.c(b.r.randint(0, 65535, (16, 3, 3, 3)).astype(np.uint16)),
        b.c(np.float32(0.4 / 32768)),
        b.c(np.uint16(32768)),
    )
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def lstm_refused():
    b = B()
    y = b.op("Reshape", stem(b), b.i(256, 1, 16))
    y = b.op("LSTM", y, b.w(1, 32, 16), b.w(1, 32, 8), outs=3, hidden_size=8)[0]
    return b.done(b.op("Reshape", y, b.i(1, -1))), {"refuse": "LSTM"}


@case
def input_size_wrong():
    b = B(shape=("n", 3, 32, 32))
    return b.done(b.head(stem(b), 16)), {"refuse": "--input-size", "flags": ["--input-size", "64x64"]}


@case
def output_name_wrong():
    b = B()
    return b.done(b.head(stem(b), 16)), {"refuse": "no output nonsense", "flags": ["--output-name", "nonsense"]}


@case
def nonmax_dead_end():
    b = B()
    y = stem(b)
    z = b.head(y, 16)
    b.op("TopK", z, b.i(1), outs=2)
    return b.done(z)


@case
def upsample_concat():
    b = B()
    y = stem(b)
    z = b.cr(y, 16, 16, st=2)
    z = b.op(
        "Resize",
        z,
        "",
        b.f(1, 1, 2, 2),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    y = b.op("Concat", y, z, axis=1)
    return b.done(b.head(b.cr(y, 32, 16, st=2), 16))


@case
def contrib_u8():
    b = B(21)
    b.domains = ["com.microsoft"]
    s, z = b.c(np.float32(0.02)), b.c(np.uint8(0))
    y = stem(b)
    y = b.op("DequantizeLinear", b.op("QuantizeLinear", y, s, z, domain="com.microsoft"), s, z, domain="com.microsoft")
    return b.done(b.head(y, 16)), {"floor": 25}


@case
def contrib_u16():
    b = B(21)
    b.domains = ["com.microsoft"]
    s, z = b.c(np.float32(0.0002)), b.c(np.uint16(0))
    y = stem(b)
    y = b.op("DequantizeLinear", b.op("QuantizeLinear", y, s, z, domain="com.microsoft"), s, z, domain="com.microsoft")
    return b.done(b.head(y, 16)), {"refuse": "U16"}


@case
def contrib_weights():
    b = B(21)
    b.domains = ["com.microsoft"]
    w = b.op(
        "DequantizeLinear",
        b.c(b.r.randint(-127, 127, (16, 3, 3, 3)).astype(np.int8)),
        b.c(np.float32(0.004)),
        b.c(np.int8(0)),
        domain="com.microsoft",
    )
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1] * 4, strides=[2, 2]))
    return b.done(b.head(y, 16))
