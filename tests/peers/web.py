"""Times ResNet-50 in WebAssembly: Foldnet's npm package and onnxruntime-web, one thread each, interleaved in Node.

    web.py

Build the package first (`runtime/web/build`). The network is torchvision's graph with seeded weights; each engine's int8
file comes from its own tool. In every round each engine runs one inference unmeasured and a few measured; its time is the
median of its rounds' medians, its ratio the median of the rounds' ratios. The processor's time is what counts on a machine
that others use. Prints a Markdown table. Needs node and npm.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx

import foldnet
import pictures
from engines import onnxruntime
from photograph_logits import prepared, refilled
from speed import cpu_name

PACKAGE = foldnet.REPOSITORY / "runtime" / "web" / "package"
HERE = Path(__file__).resolve().parent


def main() -> None:
    arguments = parse()
    foldnet.require(PACKAGE / "foldnet.wasm", "The module", "Build it with `runtime/web/build`.")
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.keep or Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        archive, models = networks(folder, arguments)
        peer = f"onnxruntime-web@{arguments.version}"
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, peer], check=True)
        settings = {
            "package": str(PACKAGE),
            "ort": str(folder),
            "archive": str(arguments.archive or archive),
            "models": {name: str(path) for name, path in models.items()},
            "rounds": arguments.rounds,
            "perRound": arguments.per_round,
        }
        words = ["node", str(HERE / "web.mjs"), json.dumps(settings)]
        outcome = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        print_table(json.loads(outcome.stdout.strip().splitlines()[-1]), arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="1.30.0", help="of onnxruntime-web (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default: %(default)s)")
    parser.add_argument("--per-round", type=int, default=3, help="inferences each a round (default: %(default)s)")
    parser.add_argument("--images", type=int, default=10, help="pictures to calibrate on (default: %(default)s)")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--archive", type=Path, help="our archive of the network (default: the converter makes it)")
    parser.add_argument("--keep", type=Path, help="a folder for models and packages, used again when they are there")
    return parser.parse_args()


def networks(folder: Path, arguments: argparse.Namespace) -> tuple[Path, dict[str, Path]]:
    """Our archive, and the peer's int8 and f32 models."""
    model, archive = folder / "resnet50.onnx", folder / "resnet50.nnef.tgz"
    seen = pictures.synthetic(arguments.images, 7)
    if not model.exists():
        onnx.save(refilled("resnet50-torchscript"), model)
    if arguments.archive is None and not archive.exists():
        calibration = folder / "calibration.npy"
        np.save(calibration, seen.astype(np.uint8))
        foldnet.quantize(arguments.converter, model, calibration, archive, ["--preprocess", "torch", "--effort", "low"])
    int8 = model.with_suffix(".int8.qdq")
    if not int8.exists():
        singles = [image[None].transpose(0, 3, 1, 2) for image in prepared(seen, "IMAGENET")]
        int8 = onnxruntime.prepare(model, singles)
    return archive, {"onnxruntime-web, int8": int8, "onnxruntime-web, f32": model}


def print_table(outcome: dict, arguments: argparse.Namespace) -> None:
    versions, rounds = outcome["versions"], outcome["rounds"]
    print(f"ResNet-50, {outcome['macs'] / 1e9:.2f} GMAC, batch 1, one thread, on {cpu_name()}.")
    print(f"Node {versions['node']} (V8 {versions['v8']}), onnxruntime-web {versions['ort']}, WebAssembly with SIMD.")
    print(f"{arguments.rounds} rounds of {arguments.per_round}.\n")
    print("| | median ms | best ms | ratio | CPU ms | ratio of CPU | GMAC/s |")
    print("|---|---|---|---|---|---|---|")
    ours = rounds["Foldnet"]
    for name, times in sorted(rounds.items(), key=lambda row: statistics.median(row[1]["wall"])):
        wall, cpu = (statistics.median(times[kind]) for kind in ("wall", "cpu"))
        slower, dearer = (
            statistics.median(a / b for a, b in zip(times[kind], ours[kind], strict=True)) for kind in ("wall", "cpu")
        )
        rate = outcome["macs"] / wall / 1e6
        print(f"| {name} | {wall:.3g} | {min(times['wall']):.3g} | {slower:.2f} | {cpu:.3g} | {dearer:.2f} | {rate:.1f} |")


if __name__ == "__main__":
    main()
