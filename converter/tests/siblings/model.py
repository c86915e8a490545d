"""A model while it is built, and the cases' register."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

CASES = {}


def case(f):
    """Registers a case under its function's name."""
    CASES[f.__name__] = f
    return f


class B:
    """A model while it is built: `op` adds a node and returns its output, `c` a constant, `w` seeded weights."""

    def __init__(s, opset=17, shape=(1, 3, 32, 32), seed=0, indtype=T.FLOAT):
        s.r = np.random.RandomState(seed)
        s.n, s.init, s.functions, s.domains = [], [], [], []
        s.opset, s.shape, s.k, s.indtype = opset, shape, 0, indtype

    def name(s):
        s.k += 1
        return f"t{s.k}"

    def c(s, arr):
        name = f"c{len(s.init)}"
        s.init.append(nh.from_array(np.asarray(arr), name))
        return name

    def i(s, *v):
        return s.c(np.array(v, np.int64))

    def f(s, *v):
        return s.c(np.array(v, np.float32))

    def w(s, *shape, scale=None):
        fan = np.prod(shape[1:]) if len(shape) > 1 else shape[0]
        scale = scale or (2 / fan) ** 0.5
        return s.c((np.round(s.r.randn(*shape) * 2).clip(-4, 4) / 2 * np.float32(scale)).astype(np.float32))

    def op(s, op, *ins, outs=1, domain="", **at):
        o = [s.name() for _ in range(outs)]
        s.n.append(h.make_node(op, list(ins), o, domain=domain, **at))
        return o[0] if outs == 1 else o

    def conv(s, x, ci, co, k=3, st=1, p=None, g=1, **at):
        p = k // 2 if p is None else p
        w, b = s.w(co, ci // g, k, k), s.w(co, scale=0.1)
        return s.op("Conv", x, w, b, strides=[st, st], pads=[p] * 4, group=g, **at)

    def cr(s, *a, **k):
        return s.op("Relu", s.conv(*a, **k))

    def bn(s, x, c, **at):
        gain, variance = (s.c(s.r.uniform(0.5, 1.5, c).astype(np.float32)) for _ in range(2))
        return s.op("BatchNormalization", x, gain, s.w(c, scale=0.2), s.w(c, scale=0.2), variance, **at)

    def gap(s, x):
        return s.op("GlobalAveragePool", x)

    def fc(s, x, ci, co=10):
        return s.op("Gemm", x, s.w(co, ci), s.w(co, scale=0.1), transB=1)

    def head(s, x, c, co=10):
        return s.fc(s.op("Flatten", s.gap(x)), c, co)

    def done(s, y, outs=None):
        outputs = [h.make_tensor_value_info(o, T.FLOAT, None) for o in outs or [y]]
        g = h.make_graph(s.n, "g", [h.make_tensor_value_info("x", s.indtype, s.shape)], outputs, s.init)
        ops = [h.make_opsetid("", s.opset)] + [h.make_opsetid(d, 1) for d in s.domains]
        ir = 8 if s.opset < 21 else 10
        return h.make_model(g, opset_imports=ops, ir_version=ir, functions=s.functions)


def stem(b, c=16, st=2):
    """A first convolution of the image, and a ReLU."""
    return b.cr("x", 3, c, st=st)
