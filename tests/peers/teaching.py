"""How well taught classes are recognized, and how well unknown ones are noticed.

    teaching.py MODEL.onnx FOLDER --trained airplane bird deer frog ship [--from 600] [--calibrate FOLDER]

FOLDER has one folder of images for each class. The network was trained on the classes --trained, at most on their
first --from images, which are not used here; the other classes are taught. Then three tables are printed:

- The share of right answers among five taught classes, for 1, 5 and 20 examples: our int8 features; the f32 network's
  features, in float arithmetic; logistic regression on the int8 features. With 95 % intervals over the episodes.
- *Unknown*, where the known classes are the network's own, and where they are taught: the rate of false alarms at 5 %
  beside what was stated, the share of unknown images that are noticed, and the area under the curve (AUROC), for
  distances and for the largest softmax: the network's, or that of logistic regression.
- The work of comparing, beside that of the network.

The features, the prototypes and the thresholds come out of teaching files that `runtime teach` writes. For one episode
of each kind, all answers of `runtime classify --teach` are compared with those that are computed here.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import foldnet
import pictures

WAYS = 5
QUERIES = 40
FALSE_ALARMS = 0.05


@dataclass
class Teaching:
    """A teaching file, see docs/src/formats/teaching.md."""

    scales: np.ndarray
    zero: int
    threshold: int
    rank: int
    count: int
    names: list[str]
    prototypes: list[np.ndarray]
    features: list[np.ndarray]

    @staticmethod
    def read(path: Path) -> Teaching:
        bytes_ = path.read_bytes()
        head = struct.unpack_from("<8s9I32sb", bytes_)
        assert head[0] == b"FNTEACH\n" and head[1] == 1
        count, rank, threshold, _spread, features, classes = head[4:10]
        at = struct.calcsize("<8s9I32sb")
        scales = np.frombuffer(bytes_, "<u2", features, at)
        at += 2 * features
        names, prototypes, examples = [], [], []
        for _ in range(classes):
            length = bytes_[at]
            names.append(bytes_[at + 1 : at + 1 + length].decode())
            at += 1 + length
            n_examples, n_prototypes, _right = struct.unpack_from("<3H", bytes_, at)
            at += 6
            record = np.dtype([("examples", "<u2"), ("mean", "<i2", (features,))])
            prototypes.append(np.frombuffer(bytes_, record, n_prototypes, at)["mean"].astype(np.int64))
            at += record.itemsize * n_prototypes
            record = np.dtype([("image", "<u8"), ("q", "i1", (features,))])
            examples.append(np.frombuffer(bytes_, record, n_examples, at)["q"].astype(np.int64))
            at += record.itemsize * n_examples
        assert at + 4 == len(bytes_)
        return Teaching(scales.astype(np.int64), head[11], threshold, rank, count, names, prototypes, examples)

    def directions(self, q: np.ndarray) -> np.ndarray:
        """Vectors of length 2^14, as integers."""
        p = (q - self.zero) * self.scales
        lengths = np.sqrt((p.astype(np.float64) ** 2).sum(1, keepdims=True))
        return np.rint(p * 2.0**14 / np.maximum(lengths, 1e-9)).astype(np.int64)


def distances(x: np.ndarray, prototypes: list[np.ndarray]) -> np.ndarray:
    """The squared distance of each direction to the nearest prototype of each class."""

    def nearest(means: np.ndarray) -> np.ndarray:
        squares = (x**2).sum(1)[:, None] + (means**2).sum(1) - 2 * (x.astype(float) @ means.T.astype(float))
        return squares.min(1)

    return np.stack([nearest(means) for means in prototypes], axis=1)


def main() -> int:
    arguments = parse()
    runtime = foldnet.require(arguments.runtime, "The runtime", "Build it with `cargo build --release`.")
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    files = {folder.name: sorted(folder.iterdir()) for folder in sorted(arguments.folder.iterdir())}
    for name in arguments.trained:
        files[name] = files[name][arguments.first :]
    new = [name for name in files if name not in arguments.trained]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(runtime, converter, arguments, files, Path(folder))
        shots(bench, new, arguments.episodes)
        unknown(bench, "the network's own classes", arguments.trained, new, arguments.episodes)
        unknown(bench, "taught classes", new, arguments.trained, arguments.episodes)
        work(bench)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a network as ONNX")
    parser.add_argument("folder", type=Path, help="images by class")
    parser.add_argument("--trained", nargs="+", required=True, help="classes that the network was trained on")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first of their images to use")
    parser.add_argument("--calibrate", type=Path, help="images to quantize with (default: FOLDER's)")
    parser.add_argument("--runtime", type=Path, default=foldnet.program("runtime"), help="our runtime")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--episodes", type=int, default=100, help="draws of examples (default: %(default)s)")
    return parser.parse_args()


class Bench:
    """The features of every image, as int8 and as f32, and a random order of the images of each class."""

    def __init__(self, runtime: Path, converter: Path, arguments: argparse.Namespace, files: dict, folder: Path):
        self.converter = converter
        self.runtime, self.files, self.folder, self.trained = runtime, files, folder, set(arguments.trained)
        self.archive = folder / "model.nnef.tgz"
        foldnet.quantize(converter, arguments.model, arguments.calibrate or arguments.folder, self.archive, [])
        self.teaching = self.teach({name: files[name] for name in files}, 0)
        for name, features in zip(self.teaching.names, self.teaching.features, strict=True):
            # A second copy of an image would shift the others.
            assert len(features) == len(files[name]), f"{name}: {len(files[name])} images, {len(features)} examples"
        self.int8 = {
            name: self.teaching.directions(q)
            for name, q in zip(self.teaching.names, self.teaching.features, strict=True)
        }
        self.f32, self.softmax = floats(arguments.model, files)
        self.random = np.random.default_rng(1)

    def teach(self, images: dict[str, list[Path]], false_alarms: float) -> Teaching:
        """What `runtime teach` makes of these images; the file stays as `x.teach`."""
        words: list = [self.runtime, "-q", "teach", self.archive, "--false-alarms", false_alarms]
        with tempfile.TemporaryDirectory() as place:
            for name, files in images.items():
                folder = Path(place, name)
                folder.mkdir()
                for file in files:
                    (folder / file.name).symlink_to(file.resolve())
                words += ["--class", name, folder]
            foldnet.run([*words, "-o", self.folder / "x.teach"])
        return Teaching.read(self.folder / "x.teach")

    def answers(self, files: list[Path]) -> list[str]:
        """What `runtime classify --teach` says with the file that was made last."""
        words = [self.runtime, "-q", "classify", self.archive, *files, "--teach", self.folder / "x.teach"]
        done = subprocess.run([str(w) for w in [*words, "--json"]], capture_output=True, text=True, check=True)
        return [json.loads(line)["labels"][0]["label"] for line in done.stdout.splitlines()]

    def draw(self, names: list[str], examples: int, queries: int) -> tuple[dict, dict]:
        """Numbers of images to teach and to ask, by class."""
        orders = {name: self.random.permutation(len(self.files[name])) for name in names}
        taught = {name: np.sort(order[:examples]) for name, order in orders.items()}
        return taught, {name: order[examples : examples + queries] for name, order in orders.items()}


def floats(model: Path, files: dict) -> tuple[dict, dict]:
    """Directions of the f32 features by class, and the largest softmax."""
    import onnx
    import onnxruntime

    proto = onnx.load(model)
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    producer = {name: node for node in proto.graph.node for name in node.output}
    last = producer[proto.graph.output[0].name]
    while last.op_type not in {"MatMul", "Gemm"}:
        last = producer[last.input[0]]
    weights = onnx.numpy_helper.to_array(constants[last.input[1]])
    if any(a.name == "transB" and a.i for a in last.attribute):
        weights = weights.T
    scales = weights.std(1)
    for name in (last.input[0], proto.graph.output[0].name):
        if name not in {output.name for output in proto.graph.output}:
            proto.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    directions, softmax = {}, {}
    for name, paths in files.items():
        images = pictures.read(paths)
        if source.shape[1] == 3:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        wanted = [last.input[0], proto.graph.output[0].name]
        answers = [session.run(wanted, {source.name: images[i : i + 1]}) for i in range(len(images))]
        features = np.concatenate([a[0].reshape(1, -1) for a in answers]) * scales
        directions[name] = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        softmax[name] = np.concatenate([a[1].reshape(1, -1) for a in answers]).max(1)
    return directions, softmax


def regression(x: np.ndarray, y: np.ndarray, classes: int):
    """Multinomial logistic regression with a squared penalty (C = 1) by Nesterov's descent; returns a predictor."""

    def lift(x: np.ndarray) -> np.ndarray:
        return np.hstack([x * np.sqrt(x.shape[1]), np.ones((len(x), 1))])

    a, target = lift(x), np.eye(classes)[y]
    penalty = np.full((a.shape[1], 1), 1 / len(a))
    penalty[-1] = 0
    step = 1 / (0.5 * np.linalg.norm(a, 2) ** 2 / len(a) + 1 / len(a))
    w = ahead = np.zeros((a.shape[1], classes))
    for i in range(200):
        before, w = w, ahead - step * (a.T @ (softmax(a @ ahead) - target) / len(a) + penalty * ahead)
        ahead = w + i / (i + 3) * (w - before)
    return lambda x: softmax(lift(x) @ w)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def interval(values: list[float]) -> str:
    """Mean and half of a 95 % interval, in percent."""
    return f"{100 * np.mean(values):.1f} ± {196 * np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"


def means(directions: dict, taught: dict) -> list[np.ndarray]:
    """One prototype for each class."""
    return [directions[name][numbers].mean(0, keepdims=True) for name, numbers in taught.items()]


def shots(bench: Bench, names: list[str], episodes: int) -> None:
    print(f"Right answers among {WAYS} classes that the network was not trained on, in percent ({episodes} episodes)\n")
    print("| examples | int8 | f32 | int8 − f32 | int8, one prototype | logistic regression |")
    print("|---|---|---|---|---|---|")
    for examples in (1, 5, 20):
        rights: dict[str, list[float]] = {"int8": [], "f32": [], "one": [], "regression": []}
        for episode in range(episodes):
            ways = list(bench.random.choice(names, WAYS, replace=False))
            taught, asked = bench.draw(ways, examples, QUERIES)
            y = np.repeat(np.arange(WAYS), QUERIES)
            x = np.concatenate([bench.int8[name][asked[name]] for name in ways])
            f = np.concatenate([bench.f32[name][asked[name]] for name in ways])
            # Prototypes as the program makes them; with fewer than six examples each class has one.
            prototypes = means(bench.int8, taught)
            if examples >= 6 or episode == 0:
                made = bench.teach({n: [bench.files[n][i] for i in taught[n]] for n in ways}, 0)
                prototypes = made.prototypes
            answers = distances(x, prototypes).argmin(1)
            if episode == 0:
                check(bench, ways, asked, [ways[a] for a in answers])
            rights["int8"].append((answers == y).mean())
            rights["one"].append((distances(x, means(bench.int8, taught)).argmin(1) == y).mean())
            rights["f32"].append((distances(f, means(bench.f32, taught)).argmin(1) == y).mean())
            examples_x = np.concatenate([bench.int8[n][taught[n]] for n in ways]) / 2**14
            predict = regression(examples_x, np.repeat(np.arange(WAYS), examples), WAYS)
            rights["regression"].append((predict(x / 2**14).argmax(1) == y).mean())
        lost = [a - b for a, b in zip(rights["one"], rights["f32"], strict=True)]
        columns = [interval(v) for v in (rights["int8"], rights["f32"], lost, rights["one"], rights["regression"])]
        print(f"| {examples} | {' | '.join(columns)} |", flush=True)
    print()


def check(bench: Bench, names: list[str], asked: dict, expected: list[str]) -> None:
    """`runtime classify --teach` must give these answers."""
    said = bench.answers([bench.files[name][i] for name in names for i in asked[name]])
    if said != expected:
        wrong = sum(a != b for a, b in zip(said, expected, strict=True))
        raise SystemExit(f"`runtime classify --teach` differs in {wrong} of {len(expected)} answers")


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The share of pairs in which the unknown image has the greater score."""
    both = np.concatenate([known, unknown])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return (ranks[len(known) :].sum() - len(unknown) * (len(unknown) + 1) / 2) / (len(known) * len(unknown))


def unknown(bench: Bench, title: str, known: list[str], other: list[str], episodes: int) -> None:
    print(f"Known: {title} ({', '.join(known)}). Unknown: {', '.join(other)}. In percent\n")
    print("| examples | false alarms | stated | in the stated 90 % | noticed | AUROC | softmax: noticed | AUROC |")
    print("|---|---|---|---|---|---|---|---|")
    for examples in (5, 20, 100):
        rows: list[tuple[float, ...]] = []
        stated: dict = {}
        for episode in range(max(episodes // 5, 2)):
            taught, asked = bench.draw(known, examples, 100)
            _, strange = bench.draw(other, 0, 100)
            made = bench.teach({n: [bench.files[n][i] for i in taught[n]] for n in known}, FALSE_ALARMS)
            if not stated:
                words = [bench.runtime, "teach", bench.archive, "--from", bench.folder / "x.teach", "--json"]
                stated = foldnet.run(words)["unknown"]
            of = [np.concatenate([bench.int8[n][i[n]] for n in i]) for i in (asked, strange)]
            all_ = [distances(x, made.prototypes) for x in of]
            scores = [d.min(1) for d in all_]
            if episode == 0:
                answers = [
                    made.names[d.argmin()] if d.min() <= made.threshold else "unknown" for d in np.concatenate(all_)
                ]
                check(bench, known + other, asked | strange, answers)
            if all(n in bench.trained for n in known):
                base = [1 - np.concatenate([bench.softmax[n][i[n]] for n in i]) for i in (asked, strange)]
            else:
                x = np.concatenate([bench.int8[n][taught[n]] for n in known]) / 2**14
                predict = regression(x, np.repeat(np.arange(len(known)), examples), len(known))
                base = [1 - predict(x / 2**14).max(1) for x in of]
            alarms = (scores[0] > made.threshold).mean()
            # The baseline's threshold is the one that gives the same rate of false alarms: better than it could know.
            limit = np.quantile(base[0], 1 - alarms)
            noticed, base_noticed = (scores[1] > made.threshold).mean(), (base[1] > limit).mean()
            inside = stated["low"] <= alarms <= stated["high"]
            rows.append((alarms, inside, noticed, auroc(*scores), base_noticed, auroc(*base)))
        table = np.array(rows, float)
        columns = [interval(list(column)) for column in table.T]
        columns[1] = f"{100 * table[:, 1].mean():.0f}"
        said = f"{100 * stated['expected']:.1f} ({100 * stated['low']:.1f} to {100 * stated['high']:.1f})"
        print(f"| {examples} | {columns[0]} | {said} | {' | '.join(columns[1:])} |", flush=True)
    print()


def work(bench: Bench) -> None:
    features = len(bench.teaching.scales)
    print("Multiply-accumulates to compare an image with 100 classes of 5 prototypes, beside the network's\n")
    print("| network | network | comparing | share |")
    print("|---|---|---|---|")
    inspected = foldnet.run([bench.converter, "inspect", bench.archive, "--json"])
    for name, macs, width in (("this one", inspected["macs"], features), ("ResNet-50", 4.09e9, 2048)):
        comparing = 502 * width
        print(f"| {name} | {macs / 1e6:.1f} M | {comparing / 1e6:.3f} M | {comparing / macs:.3%} |")


if __name__ == "__main__":
    sys.exit(main())
