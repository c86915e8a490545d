"""Operators that move numbers."""

import numpy as np

from model import CASES, B, case, stem


@case
def bgr():
    b = B()
    y = b.op("Gather", "x", b.i(2, 1, 0), axis=1)
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def bgr_slice():
    b = B()
    y = b.op("Slice", "x", b.i(-1), b.i(-100), b.i(1), b.i(-1))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def bgr_split():
    b = B()
    p = b.op("Split", "x", outs=3, axis=1)
    y = b.op("Concat", p[2], p[1], p[0], axis=1)
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def bgr_norm():
    b = B()
    y = b.op("Gather", "x", b.i(2, 1, 0), axis=1)
    y = b.op(
        "Div",
        b.op("Sub", y, b.c(np.array([0.4, 0.5, 0.6], np.float32).reshape(1, 3, 1, 1))),
        b.c(np.array([0.2, 0.3, 0.25], np.float32).reshape(1, 3, 1, 1)),
    )
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def norm_per_channel():
    b = B()
    p = b.op("Split", "x", outs=3, axis=1)
    q = [b.op("Div", b.op("Sub", p[i], b.f(0.4 + 0.1 * i)), b.f(0.2 + 0.05 * i)) for i in range(3)]
    y = b.op("Concat", *q, axis=1)
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def grey_expand():
    b = B(shape=(1, 1, 32, 32))
    y = b.op("Expand", "x", b.i(1, 3, 32, 32))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16)), {"ch": 1}


@case
def grey_concat():
    b = B(shape=(1, 1, 32, 32))
    y = b.op("Concat", "x", "x", "x", axis=1)
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16)), {"ch": 1}


@case
def grey_tile():
    b = B(shape=(1, 1, 32, 32))
    y = b.op("Tile", "x", b.i(1, 3, 1, 1))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16)), {"ch": 1}


@case
def rgb_to_grey():
    b = B()
    y = b.op("ReduceMean", "x", axes=[1], keepdims=1)
    return b.done(b.head(b.cr(y, 1, 16, st=2), 16))


@case
def first_channel():
    b = B()
    y = b.op("Slice", "x", b.i(0), b.i(1), b.i(1))
    return b.done(b.head(b.cr(y, 1, 16, st=2), 16))


def resA(b, y, c, co, how):
    z = b.conv(b.cr(y, c, co, st=2), co, co)
    s = (
        b.op("Slice", y, b.i(0, 0), b.i(2**31, 2**31), b.i(2, 3), b.i(2, 2))
        if how != "avg"
        else b.op("AveragePool", y, kernel_shape=[1, 1], strides=[2, 2])
    )
    p = co - c
    if how == "pad":
        s = b.op("Pad", s, b.i(0, p // 2, 0, 0, 0, p - p // 2, 0, 0))
    if how in ("concat", "avg"):
        s = b.op("Concat", s, b.c(np.zeros((1, p, 8, 8), np.float32)), axis=1)
    if how == "mul0":
        s = b.op("Concat", s, b.op("Mul", s, b.f(0)), axis=1)
    return b.op("Relu", b.op("Add", z, s))


for how in ("pad", "concat", "avg", "mul0"):

    def f(how=how):
        b = B()
        y = resA(b, stem(b), 16, 32, how)
        return b.done(b.head(y, 32))

    CASES["option_a_" + how] = f


@case
def fastai():
    b = B()
    y = b.cr(stem(b), 16, 32, st=2)
    y = b.op("Concat", b.op("GlobalMaxPool", y), b.gap(y), axis=1)
    y = b.bn(b.op("Flatten", y), 64)
    y = b.op("Relu", b.fc(y, 64, 32))
    return b.done(b.fc(b.bn(y, 32), 32))


@case
def globalmax():
    b = B()
    y = b.cr(stem(b), 16, 32, st=2)
    return b.done(b.fc(b.op("Flatten", b.op("GlobalMaxPool", y)), 32))


@case
def globalmax_big():
    b = B()
    y = b.cr("x", 3, 16, st=1)
    return b.done(b.fc(b.op("Flatten", b.op("GlobalMaxPool", y)), 16))


@case
def reducemax():
    b = B(18)
    y = b.cr(stem(b), 16, 32, st=2)
    return b.done(b.fc(b.op("ReduceMax", y, b.i(2, 3), keepdims=0), 32))


@case
def maxpool_all_kernel32():
    b = B()
    y = b.cr("x", 3, 16, st=1)
    return b.done(b.fc(b.op("Flatten", b.op("MaxPool", y, kernel_shape=[32, 32])), 16))


@case
def chan_shuffle():
    b = B()
    y = stem(b)
    y = b.conv(y, 16, 16, k=1, g=4)
    y = b.op("Reshape", y, b.i(1, 4, 4, 16, 16))
    y = b.op("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = b.op("Reshape", y, b.i(1, 16, 16, 16))
    y = b.cr(y, 16, 16, g=4)
    return b.done(b.head(y, 16))


@case
def shufflenet_v2():
    b = B()
    y = stem(b, 16)
    l, r = b.op("Split", y, outs=2, axis=1)
    r = b.cr(b.conv(b.cr(r, 8, 8, k=1), 8, 8, g=8), 8, 8, k=1)
    y = b.op("Concat", l, r, axis=1)
    y = b.op("Reshape", y, b.i(1, 2, 8, 16, 16))
    y = b.op("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = b.op("Reshape", y, b.i(1, 16, 16, 16))
    y = b.cr(y, 16, 32, st=2)
    return b.done(b.head(y, 32))


@case
def densenet():
    b = B()
    y = stem(b, 16)
    c = 16
    for i in range(3):
        z = b.conv(b.op("Relu", b.bn(y, c)), c, 8)
        y = b.op("Concat", y, z, axis=1)
        c += 8
    return b.done(b.head(b.op("Relu", b.bn(y, c)), c))


@case
def inception():
    b = B()
    y = stem(b, 16)
    p = [
        b.cr(y, 16, 8, k=1),
        b.cr(b.cr(y, 16, 8, k=1), 8, 8),
        b.cr(y, 16, 8, k=5),
        b.cr(b.op("MaxPool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 16, 8, k=1),
    ]
    y = b.op("Concat", *p, axis=1)
    y = b.cr(y, 32, 32, st=2)
    return b.done(b.head(y, 32))


@case
def squeezenet_fire():
    b = B()
    y = stem(b, 16)
    for _ in range(2):
        s = b.cr(y, 16, 8, k=1)
        y = b.op("Concat", b.cr(s, 8, 8, k=1), b.cr(s, 8, 8), axis=1)
    return b.done(b.head(y, 16))


@case
def split_groups():
    b = B()
    y = stem(b, 16)
    p = b.op("Split", y, outs=4, axis=1)
    y = b.op("Concat", *[b.conv(q, 4, 4) for q in p], axis=1)
    return b.done(b.head(b.op("Relu", y), 16))


@case
def res2net():
    b = B()
    y = stem(b, 16)
    p = b.op("Split", y, outs=4, axis=1)
    o = [p[0]]
    z = b.cr(p[1], 4, 4)
    o.append(z)
    for q in p[2:]:
        z = b.cr(b.op("Add", z, q), 4, 4)
        o.append(z)
    y = b.op("Concat", *o, axis=1)
    return b.done(b.head(b.cr(y, 16, 16, k=1), 16))


@case
def focus():
    b = B()
    s = lambda i, j: b.op("Slice", b.op("Slice", "x", b.i(i), b.i(99), b.i(2), b.i(2)), b.i(j), b.i(99), b.i(3), b.i(2))
    y = b.op("Concat", s(0, 0), s(1, 0), s(0, 1), s(1, 1), axis=1)
    return b.done(b.head(b.cr(y, 12, 16), 16))


@case
def space_to_depth():
    b = B()
    y = b.op("SpaceToDepth", "x", blocksize=2)
    return b.done(b.head(b.cr(y, 12, 16), 16))


@case
def s2d_mid():
    b = B()
    y = b.op("SpaceToDepth", stem(b), blocksize=2)
    return b.done(b.head(b.cr(y, 64, 16, k=1), 16))


@case
def d2s_mid():
    b = B()
    y = b.op("DepthToSpace", stem(b), blocksize=2)
    return b.done(b.head(b.cr(y, 4, 16), 16)), {"refuse": "Conv"}


@case
def gather_id():
    b = B()
    y = b.op("Reshape", b.gap(stem(b)), b.i(-1))
    y = b.op("Gather", y, b.i(*range(16)))
    y = b.op("Reshape", y, b.i(1, 16))
    return b.done(b.fc(y, 16))


@case
def gather_nd():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    y = b.op("GatherND", y, b.c(np.array([[[0, i] for i in range(15, -1, -1)]], np.int64)))
    return b.done(b.fc(y, 16))


@case
def gather_elements():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    y = b.op("GatherElements", y, b.c(np.array([[3, 2, 1, 0, 5, 5, 6, 7]], np.int64)), axis=1)
    return b.done(b.fc(y, 8))


@case
def scatter_nd():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    y = b.op(
        "ScatterND", b.c(np.zeros((1, 20), np.float32)), b.c(np.array([[[0, i + 2] for i in range(16)]], np.int64)), y
    )
    return b.done(b.fc(y, 20))


@case
def flip_w():
    b = B()
    y = stem(b)
    y = b.op("Slice", y, b.i(-1), b.i(-100), b.i(3), b.i(-1))
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def reverse_seq():
    b = B()
    y = stem(b)
    y = b.op("Reshape", y, b.i(16, 256))
    y = b.op("ReverseSequence", y, b.c(np.full(256, 16, np.int64)), time_axis=0, batch_axis=1)
    y = b.op("Reshape", y, b.i(1, 16, 16, 16))
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def pad_edge():
    b = B()
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")
    return b.done(b.head(b.cr(y, 16, 16, p=0), 16))


@case
def pad_reflect():
    b = B()
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    return b.done(b.head(b.cr(y, 16, 16, p=0), 16))


@case
def pad_reflect_pixels():
    b = B()
    y = b.op("Pad", "x", b.i(0, 0, 3, 3, 0, 0, 3, 3), mode="reflect")
    return b.done(b.head(b.cr(y, 3, 16, k=7, p=0, st=2), 16))


@case
def pad_wrap():
    b = B(19)
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, 1, 1, 0, 0, 1, 1), mode="wrap")
    return b.done(b.head(b.cr(y, 16, 16, p=0), 16))


@case
def pad_value():
    b = B()
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, 1, 1, 0, 0, 1, 1), b.c(np.float32(0.3)))
    return b.done(b.head(b.cr(y, 16, 16, p=0), 16))


@case
def pad_value_pixels():
    b = B()
    y = b.op("Pad", "x", b.i(0, 0, 1, 1, 0, 0, 1, 1), b.c(np.float32(0.5)))
    return b.done(b.head(b.cr(y, 3, 16, p=0), 16))


@case
def pad_negative():
    b = B()
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, -2, -1, 0, 0, -1, -2))
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def pad_lone():
    b = B()
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, 2, 2, 0, 0, 2, 2))
    return b.done(b.head(b.op("Relu", y), 16))


@case
def pad_twice_read():
    b = B()
    y = stem(b)
    y = b.op("Pad", y, b.i(0, 0, 1, 1, 0, 0, 1, 1))
    return b.done(b.head(b.op("Add", b.cr(y, 16, 16, p=0), b.cr(y, 16, 16, p=0)), 16))


@case
def center_crop():
    b = B()
    y = b.op("Slice", "x", b.i(2, 2), b.i(30, 30), b.i(2, 3))
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16))


@case
def crop_mid():
    b = B()
    y = stem(b)
    y = b.op("Slice", y, b.i(1, 1), b.i(15, 15), b.i(2, 3))
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def crop_flat():
    b = B()
    y = b.op("MaxPool", stem(b), kernel_shape=[4, 4], strides=[4, 4])
    y = b.op("Flatten", y)
    y = b.op("Slice", y, b.i(0), b.i(128), b.i(1))
    return b.done(b.fc(y, 128))


@case
def concat_flat():
    b = B()
    y = b.op("MaxPool", stem(b), kernel_shape=[4, 4], strides=[4, 4])
    z = b.cr(y, 16, 8)
    y = b.op("Concat", b.op("Flatten", y), b.op("Flatten", z), axis=1)
    return b.done(b.fc(y, 384))


@case
def concat_rows():
    b = B()
    y = stem(b)
    y = b.op("Concat", b.cr(y, 16, 16), b.conv(y, 16, 16), axis=2)
    return b.done(b.head(b.cr(y, 16, 16, st=2), 16))


@case
def multi_scale():
    b = B()
    y = stem(b)
    z = b.cr(y, 16, 32, st=2)
    y = b.op("Concat", b.op("Flatten", b.gap(y)), b.op("Flatten", b.gap(z)), axis=1)
    return b.done(b.fc(y, 48))


@case
def heads_concat():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    return b.done(b.op("Concat", b.fc(y, 16, 4), b.fc(y, 16, 6), axis=1))


@case
def logits_slice():
    b = B()
    y = b.head(stem(b), 16, 12)
    return b.done(b.op("Slice", y, b.i(1), b.i(11), b.i(1)))


@case
def logits_perm():
    b = B()
    y = b.head(stem(b), 16, 10)
    return b.done(b.op("Gather", y, b.i(9, 8, 7, 6, 5, 4, 3, 2, 1, 0), axis=1))


@case
def crelu():
    b = B()
    y = b.conv("x", 3, 16, st=2)
    y = b.op("Concat", b.op("Relu", y), b.op("Relu", b.op("Neg", y)), axis=1)
    return b.done(b.head(b.cr(y, 32, 16), 16)), {"refuse": "Neg"}


@case
def where_const():
    b = B()
    y = stem(b)
    m = np.zeros((1, 16, 1, 1), bool)
    m[:, ::2] = 1
    y = b.op("Where", b.c(m), y, b.c(np.zeros((1, 1, 1, 1), np.float32)))
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def squeeze_all():
    b = B()
    y = b.op("Squeeze", b.gap(stem(b)))
    y = b.op("Unsqueeze", y, b.i(0))
    return b.done(b.fc(y, 16))


@case
def slice_seq_tokens():
    b = B()
    y = stem(b)
    y = b.op("Reshape", y, b.i(1, 16, 256))
    y = b.op("Transpose", y, perm=[0, 2, 1])
    y = b.op("ReduceMean", y, axes=[1], keepdims=0)
    return b.done(b.fc(y, 16))


@case
def interleave():
    b = B()
    y = stem(b)
    z = b.cr(y, 16, 16)
    y = b.op(
        "Reshape",
        b.op("Concat", b.op("Unsqueeze", y, b.i(2)), b.op("Unsqueeze", z, b.i(2)), axis=2),
        b.i(1, 32, 16, 16),
    )
    return b.done(b.head(b.cr(y, 32, 16), 16))


@case
def stack_mean():
    b = B()
    y = stem(b)
    z = b.cr(y, 16, 16)
    y = b.op(
        "ReduceMean",
        b.op("Concat", b.op("Unsqueeze", y, b.i(1)), b.op("Unsqueeze", z, b.i(1)), axis=1),
        axes=[1],
        keepdims=0,
    )
    return b.done(b.head(y, 16))


@case
def preact_slice_res():
    b = B()
    y = stem(b)
    z = b.conv(y, 16, 24)
    s = b.op("Pad", y, b.i(0, 0, 0, 0, 0, 8, 0, 0))
    y = b.op("Add", z, s)
    return b.done(b.head(b.op("Relu", b.bn(y, 24)), 24))


@case
def nhwc_input():
    b = B(shape=(1, 32, 32, 3))
    y = b.op("Transpose", "x", perm=[0, 3, 1, 2])
    return b.done(b.head(b.cr(y, 3, 16, st=2), 16)), {"nhwc": True}


@case
def nhwc_concat():
    b = B()
    y = stem(b)
    z = b.cr(y, 16, 16)
    t = lambda v: b.op("Transpose", v, perm=[0, 2, 3, 1])
    y = b.op("Concat", t(y), t(z), axis=3)
    y = b.op("Transpose", y, perm=[0, 3, 1, 2])
    return b.done(b.head(b.cr(y, 32, 16, st=2), 16))


@case
def flat_fc_mid():
    b = B()
    y = b.cr(b.op("MaxPool", stem(b), kernel_shape=[4, 4], strides=[4, 4]), 16, 8)
    y = b.op("Flatten", y)
    y = b.op("Relu", b.fc(y, 128, 32))
    return b.done(b.fc(y, 32))


@case
def strided_gather():
    b = B()
    y = stem(b)
    y = b.op("Gather", b.op("Gather", y, b.i(*range(0, 16, 2)), axis=2), b.i(*range(0, 16, 2)), axis=3)
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def maxpool_stride_only():
    b = B()
    y = stem(b)
    y = b.op("MaxPool", y, kernel_shape=[1, 1], strides=[2, 2])
    return b.done(b.head(b.cr(y, 16, 16), 16))
