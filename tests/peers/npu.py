r"""Builds our archives for Rockchip's NPUs and compares the vendor's simulator with the archive.

    npu.py MODEL... --calibrate train-1000.bin --test test-1017.bin [--chips rk3588,rk3576,rk3566]

Prints a Markdown table, one row for each network and chip. "Same top-1" is the simulator's against the CPU's int8
archive; "lost lead" is how far, where they differ, the CPU's top-1 was at most ahead of the simulator's, in parts of
the probability, which tells near-ties from errors. "Right" are the answers that agree with the labels, of f32
before anything was quantized, of the CPU's archive and of the simulator. The archive is quantized with --for-npu,
so that it has the NPU's roundings; with --rounded-once it is not. "Equal" is the share of int8 activations that are
the same in both, in the best and in the worst layer; "weights kept" is the share of them found unchanged in the
file for the board. Ends with code 3 when a limit is missed. MODEL is ONNX, or an archive that was quantized before.
With --unlabelled, for networks without trained weights, nothing is right.

ResNet-50 with weights that mean something: let it learn CIFAR-10's images, those that are measured on excepted:

    training_folder.py test-jpeg/ --train train-1000.bin --without test-1017.bin -o images
    foldnet-train fit images -o resnet50 --network resnet50 --weights random --epochs 12 --batch-size 64 \
        --learning-rate 1e-3 --warmup 1 --validation 0.05

and the same with resnet50v2. MODEL is then resnet50/model.onnx; the first path is the folder of the JPEGs' classes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import foldnet

HEAD = (
    "| network | chip | images | same top-1 | lost lead | right: f32 | CPU | simulator | logits | equal activations "
    "| weights kept |"
)


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    for path in (*arguments.model, arguments.calibrate, arguments.test):
        foldnet.require(path, "The file", "See --help.")
    print(HEAD)
    print("|---" * HEAD.count(" |") + "|")
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.model:
            name, is_archive = foldnet.name(model), model.name.endswith(".nnef.tgz")
            archive = model
            if not is_archive:
                extra = [] if arguments.rounded_once else ["--for-npu"]
                archive = Path(folder, f"{name}.nnef.tgz")
                foldnet.quantize(converter, model, arguments.calibrate, archive, extra)
            right = {"correct": "–"}
            if not is_archive and not arguments.unlabelled:
                right = foldnet.run([converter, "eval", model, "--images", arguments.test, "--json"])
            for chip in arguments.chips.split(","):
                row = foldnet.export(converter, ["--rknn", chip], archive, Path(folder, "out.nnef.tgz"), arguments)
                equal = [layer["equal"] for layer in row["layers"]]
                print(
                    f"| {name} | {chip} | {row['images']} | {row['agreement']:.2%} | {foldnet.lost_lead(row)} "
                    f"| {right['correct']} "
                    f"| {row['correct_cpu'] or '–'} | {row['correct'] or '–'} | {row['sqnr']:.1f} dB "
                    f"| {max(equal):.1%} … {min(equal):.1%} | {row['weights_kept']:.2%} |",
                    flush=True,
                )
                missed |= row["agreement"] < arguments.least
    return 3 if missed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+")
    parser.add_argument("--calibrate", type=Path, required=True, help="pictures to quantize with")
    parser.add_argument("--test", type=Path, required=True, help="labelled pictures to compare on")
    parser.add_argument("--chips", default="rk3588,rk3576,rk3566")
    parser.add_argument("--images", type=int, default=1017, help="compare on at most this many")
    parser.add_argument("--unlabelled", action="store_true")
    parser.add_argument("--rounded-once", action="store_true", help="quantize without --for-npu")
    parser.add_argument("--least", type=float, default=0.995, help="least share with the same top-1")
    parser.add_argument("--toolkit", type=Path, help="the toolkit's environment, see `converter export --help`")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
