"""What depends on constants alone."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from model import B, case, stem


@case
def weight_standard():
    b = B()
    w = b.w(16, 3, 3, 3)
    m = b.op("ReduceMean", w, axes=[1, 2, 3], keepdims=1)
    d = b.op("Sub", w, m)
    v = b.op("ReduceMean", b.op("Mul", d, d), axes=[1, 2, 3], keepdims=1)
    ww = b.op("Div", d, b.op("Sqrt", b.op("Add", v, b.f(1e-5))))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def weight_standard_bn():
    b = B()
    w = b.op("Reshape", b.w(16, 3, 3, 3), b.i(1, 16, 27))
    o = b.op(
        "BatchNormalization",
        w,
        b.c(np.full(16, 0.3, np.float32)),
        b.c(np.zeros(16, np.float32)),
        b.c(np.zeros(16, np.float32)),
        b.c(np.ones(16, np.float32)),
        outs=3,
        training_mode=1,
        momentum=0.0,
    )
    ww = b.op("Reshape", o[0], b.i(16, 3, 3, 3))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def weight_instnorm():
    b = B()
    w = b.op("Reshape", b.w(16, 3, 3, 3), b.i(1, 16, 27))
    o = b.op("InstanceNormalization", w, b.c(np.full(16, 0.3, np.float32)), b.c(np.zeros(16, np.float32)))
    ww = b.op("Reshape", o, b.i(16, 3, 3, 3))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def weight_norm():
    b = B()
    w = b.w(16, 3, 3, 3)
    n = b.op("ReduceL2", w, axes=[1, 2, 3], keepdims=1)
    g = b.c(np.abs(b.r.randn(16, 1, 1, 1)).astype(np.float32))
    ww = b.op("Mul", b.op("Div", w, n), g)
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def spectral_norm():
    b = B()
    w = b.w(16, 27)
    u = b.w(1, 16)
    v = b.w(27, 1)
    s = b.op("MatMul", b.op("MatMul", u, w), v)
    ww = b.op("Reshape", b.op("Div", w, s), b.i(16, 3, 3, 3))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def einsum_weights():
    b = B()
    ww = b.op("Einsum", b.w(16, 8), b.w(8, 3, 3, 3), equation="oi,ickl->ockl")
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def range_gather():
    b = B()
    y = b.op("Reshape", b.gap(stem(b)), b.i(-1))
    n = b.op("Squeeze", b.op("Shape", y))
    r = b.op("Range", b.c(np.int64(0)), n, b.c(np.int64(1)))
    y = b.op("Reshape", b.op("Gather", y, r), b.i(1, 16))
    return b.done(b.fc(y, 16))


@case
def weight_qdq():
    b = B()
    w = b.r.randn(16, 3, 3, 3).astype(np.float32) * 0.2
    s = b.c((np.abs(w).reshape(16, -1).max(1) / 127).astype(np.float32))
    z = b.c(np.zeros(16, np.int8))
    ww = b.op("DequantizeLinear", b.op("QuantizeLinear", b.c(w), s, z, axis=0), s, z, axis=0)
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_where_mask():
    b = B()
    w = b.w(16, 3, 3, 3)
    m = b.op("Greater", b.op("Abs", w), b.f(0.1))
    ww = b.op("Where", m, w, b.f(0))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_masked_mul():
    b = B()
    w = b.w(16, 3, 3, 3)
    m = b.op("Cast", b.op("Not", b.op("Less", b.op("Abs", w), b.f(0.1))), to=T.FLOAT)
    ww = b.op("Mul", m, w)
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_softmax_tanh():
    b = B()
    w = b.op("Tanh", b.w(16, 3, 3, 3))
    g = b.op("Mul", b.op("Softmax", b.w(16), axis=0), b.f(16))
    g = b.op("Reshape", g, b.i(1, 16, 1, 1))
    y = b.op("Relu", b.op("Mul", b.op("Conv", "x", w, pads=[1, 1, 1, 1], strides=[2, 2]), g))
    return b.done(b.head(y, 16))


@case
def const_cumsum_topk():
    b = B()
    w = b.op("CumSum", b.w(16, 3, 3, 3, scale=0.1), b.c(np.int64(1)))
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_conv_weights():
    b = B()
    k = b.op("Conv", b.w(16, 3, 3, 3), b.w(3, 3, 1, 1))
    y = b.op("Relu", b.op("Conv", "x", k, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def if_const():
    b = B()
    y = b.gap(stem(b))
    c = b.op("Equal", b.op("Gather", b.op("Shape", y), b.c(np.int64(3))), b.c(np.int64(1)))
    tg = h.make_graph(
        [h.make_node("Squeeze", [y, "ax"], ["sq"])],
        "t",
        [],
        [h.make_tensor_value_info("sq", T.FLOAT, None)],
        [nh.from_array(np.array([2, 3], np.int64), "ax")],
    )
    eg = h.make_graph(
        [h.make_node("Identity", [y], ["idn"])], "e", [], [h.make_tensor_value_info("idn", T.FLOAT, None)]
    )
    z = b.name()
    b.n.append(h.make_node("If", [c], [z], then_branch=tg, else_branch=eg))
    return b.done(b.fc(z, 16))


@case
def constantofshape_bias():
    b = B()
    y = b.op(
        "Add", stem(b), b.op("ConstantOfShape", b.i(1, 16, 1, 1), value=nh.from_array(np.array([0.5], np.float32)))
    )
    return b.done(b.head(y, 16))


@case
def dyn_reshape():
    b = B(shape=("n", 3, 32, 32))
    y = b.gap(stem(b))
    s = b.op("Shape", y)
    y = b.op("Reshape", y, b.op("Concat", b.op("Slice", s, b.i(0), b.i(1)), b.i(-1), axis=0))
    return b.done(b.fc(y, 16))


@case
def const_random():
    b = B()
    w = b.op("RandomNormal", shape=[16, 3, 3, 3], seed=1.0)
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1, 1, 1, 1]))
    return b.done(b.head(y, 16)), {"refuse": "RandomNormal"}


@case
def const_clip_erf():
    b = B()
    w = b.op("Erf", b.w(16, 3, 3, 3))
    y = b.op("Relu", b.op("Conv", "x", w, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))


@case
def const_eyelike():
    b = B()
    w = b.op("Add", b.op("EyeLike", b.c(np.zeros((16, 16), np.float32))), b.w(16, 16))
    y = b.op("MatMul", b.op("Flatten", b.gap(stem(b))), w)
    return b.done(b.fc(y, 16))


@case
def const_trilu_onehot():
    b = B()
    w = b.op("Trilu", b.w(16, 16))
    y = b.op("MatMul", b.op("Flatten", b.gap(stem(b))), w)
    return b.done(b.fc(y, 16))


@case
def const_nodes():
    b = B()
    y = stem(b)
    k = b.op("Constant", value_floats=[2.0])
    j = b.op("Constant", value_float=0.5)
    return b.done(b.head(b.op("Add", b.op("Mul", y, k), j), 16))


@case
def const_lpnorm():
    b = B()
    w = b.op("LpNormalization", b.w(16, 16), axis=0, p=2)
    y = b.op("MatMul", b.op("Flatten", b.gap(stem(b))), w)
    return b.done(b.fc(y, 16))


@case
def const_resize_pos():
    b = B()
    k = b.op("Resize", b.w(1, 16, 1, 1), "", b.f(1, 1, 1, 1))
    y = b.op("Add", stem(b), k)
    return b.done(b.head(y, 16))


@case
def const_reduceprod():
    b = B(18)
    w = b.w(16, 3, 3, 3)
    n = b.op("ReduceSumSquare", w, b.i(1, 2, 3), keepdims=1)
    n = b.op("Sqrt", n)
    ww = b.op("Div", w, b.op("Max", n, b.f(1e-3)))
    y = b.op("Relu", b.op("Conv", "x", ww, pads=[1, 1, 1, 1], strides=[2, 2]))
    return b.done(b.head(y, 16))
