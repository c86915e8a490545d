"""Operators that change nothing, or only look so."""

import numpy as np
from onnx import TensorProto as T

from model import B, case, stem


@case
def cast_int():
    b = B()
    y = stem(b)
    y = b.op("Cast", b.op("Cast", y, to=T.INT32), to=T.FLOAT)
    return b.done(b.head(y, 16)), {"refuse": "Cast"}


@case
def cast_f16():
    b = B()
    y = stem(b)
    y = b.op("Cast", b.op("Cast", y, to=T.FLOAT16), to=T.FLOAT)
    return b.done(b.head(y, 16))


@case
def cast_double():
    b = B()
    y = stem(b)
    y = b.op("Cast", b.op("Cast", y, to=T.DOUBLE), to=T.FLOAT)
    return b.done(b.head(y, 16))


@case
def cast_bool():
    b = B()
    y = stem(b)
    y = b.op("Cast", b.op("Cast", y, to=T.BOOL), to=T.FLOAT)
    return b.done(b.head(y, 16)), {"refuse": "Cast"}


@case
def cast_u8():
    b = B()
    y = stem(b)
    y = b.op("Cast", b.op("Cast", b.op("Mul", y, b.f(50)), to=T.UINT8), to=T.FLOAT)
    return b.done(b.head(y, 16)), {"refuse": "Cast"}


@case
def dropout_eval():
    b = B()
    y = b.gap(stem(b))
    y = b.op("Dropout", b.op("Flatten", y), b.c(np.float32(0.5)), b.c(np.bool_(False)))
    return b.done(b.fc(y, 16))


@case
def dropout_train():
    b = B()
    y = b.gap(stem(b))
    y = b.op("Dropout", b.op("Flatten", y), b.c(np.float32(0.5)), b.c(np.bool_(True)), seed=3)
    return b.done(b.fc(y, 16)), {"refuse": "Dropout"}


@case
def bn_train():
    b = B()
    y = stem(b)
    y = b.op("BatchNormalization", y, b.w(16), b.w(16), b.w(16), b.c(np.ones(16, np.float32)), outs=3, training_mode=1)[
        0
    ]
    return b.done(b.head(y, 16)), {"refuse": "BatchNormalization"}


@case
def resize_same():
    b = B()
    y = stem(b)
    y = b.op("Resize", y, "", b.f(1, 1, 1, 1), mode="linear")
    return b.done(b.head(y, 16))


@case
def resize_same_sizes():
    b = B()
    y = stem(b)
    y = b.op("Resize", y, "", "", b.i(1, 16, 16, 16), mode="cubic", coordinate_transformation_mode="align_corners")
    return b.done(b.head(y, 16))


@case
def resize_up():
    b = B()
    y = stem(b)
    y = b.op("Resize", y, "", b.f(1, 1, 2, 2), mode="linear")
    return b.done(b.head(y, 16)), {"refuse": "Resize"}


@case
def resize_nearest_down():
    b = B()
    y = stem(b, st=1)
    y = b.op(
        "Resize",
        y,
        "",
        b.f(1, 1, 0.5, 0.5),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def resize_nearest_up():
    b = B()
    y = b.cr(stem(b), 16, 16, st=2)
    y = b.op("Resize", y, "", b.f(1, 1, 2, 2), mode="nearest")
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def upsample_same():
    b = B(9)
    y = stem(b)
    y = b.op("Upsample", y, b.f(1, 1, 1, 1), mode="nearest")
    return b.done(b.head(y, 16))


@case
def pow_one():
    b = B()
    y = stem(b)
    y = b.op("Pow", y, b.f(1))
    return b.done(b.head(y, 16)), {"refuse": "Pow"}


@case
def pow_two():
    b = B()
    y = stem(b)
    y = b.op("Pow", y, b.f(2))
    return b.done(b.head(y, 16)), {"refuse": "Pow"}


@case
def mul1_add0():
    b = B()
    y = stem(b)
    y = b.op("Add", b.op("Mul", y, b.f(1)), b.f(0))
    y = b.op("Div", b.op("Sub", y, b.f(0)), b.f(1))
    return b.done(b.head(y, 16))


@case
def round_():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("Round", y), 16)), {"refuse": "Round"}


@case
def floor_():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("Floor", y), 16)), {"refuse": "Floor"}


@case
def sign_():
    b = B()
    y = b.conv("x", 3, 16)
    return b.done(b.head(b.op("Sign", y), 16)), {"refuse": "Sign"}


@case
def neg_():
    b = B()
    y = b.conv("x", 3, 16)
    return b.done(b.head(b.op("Relu", b.op("Neg", y)), 16)), {"refuse": "Neg"}


@case
def abs_after_relu():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("Abs", y), 16)), {"refuse": "Abs"}


@case
def pad_zero():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("Pad", y, b.i(0, 0, 0, 0, 0, 0, 0, 0)), 16))


@case
def identity_chain():
    b = B()
    y = stem(b)
    return b.done(b.op("Identity", b.head(b.op("Identity", y), 16)))


@case
def transpose_id():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("Transpose", y, perm=[0, 1, 2, 3]), 16))


@case
def transpose_hw():
    b = B()
    y = stem(b)
    y = b.op("Transpose", y, perm=[0, 1, 3, 2])
    return b.done(b.fc(b.op("Flatten", b.op("MaxPool", b.cr(y, 16, 16), kernel_shape=[4, 4], strides=[4, 4])), 256)), {
        "refuse": "Conv"
    }


@case
def clip_noop():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("Clip", y, b.c(np.float32(-1e30)), b.c(np.float32(3e38))), 16)), {"refuse": "Clip"}


@case
def lrn():
    b = B()
    y = stem(b)
    return b.done(b.head(b.op("LRN", y, size=5), 16)), {"refuse": "LRN"}


@case
def maxpool_ceil():
    b = B()
    y = stem(b)
    y = b.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    return b.done(b.head(y, 16))


@case
def maxpool_dil():
    b = B()
    y = stem(b)
    y = b.op("MaxPool", y, kernel_shape=[2, 2], dilations=[2, 2])
    return b.done(b.head(y, 16)), {"refuse": "MaxPool"}


@case
def maxpool_same():
    b = B()
    y = stem(b)
    y = b.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")
    return b.done(b.head(y, 16))


@case
def avgpool_pad():
    b = B()
    y = stem(b)
    y = b.op("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return b.done(b.head(y, 16))


@case
def avgpool_pad_s1():
    b = B()
    y = stem(b)
    y = b.op("AveragePool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return b.done(b.head(b.cr(y, 16, 16), 16))


@case
def avgpool_pad_incl():
    b = B()
    y = stem(b)
    y = b.op("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    return b.done(b.head(y, 16))


@case
def avgpool_ceil():
    b = B()
    y = b.cr("x", 3, 16, k=4, p=0)
    y = b.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    return b.done(b.head(y, 16))


@case
def avgpool_dil():
    b = B(19)
    y = stem(b)
    y = b.op("AveragePool", y, kernel_shape=[2, 2], dilations=[2, 2])
    return b.done(b.head(y, 16))


@case
def avgpool_pixels():
    b = B()
    y = b.op("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2])
    return b.done(b.head(b.cr(y, 3, 16), 16))


@case
def maxpool_pixels():
    b = B()
    y = b.op("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2])
    return b.done(b.head(b.cr(y, 3, 16), 16))


@case
def gemm_ab():
    b = B()
    y = b.op("Flatten", b.gap(stem(b)))
    return b.done(b.op("Gemm", y, b.w(16, 10), b.w(1, 10), alpha=0.5, beta=2.0))


@case
def reshape_allowzero():
    b = B()
    y = b.gap(stem(b))
    y = b.op("Reshape", y, b.i(1, 16), allowzero=1)
    return b.done(b.fc(y, 16))


@case
def softmax_neg1():
    b = B()
    return b.done(b.op("Softmax", b.head(stem(b), 16), axis=-1)), {"last": "softmax"}


@case
def convdepth_pixels():
    b = B()
    y = b.conv("x", 3, 6, g=3)
    return b.done(b.head(b.cr(y, 6, 16, st=2), 16))
