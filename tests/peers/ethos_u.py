"""Builds our archives for Arm's Ethos-U and compares the TFLite file's answers with the archive's.

    ethos_u.py MODEL... --calibrate train-1000.bin --test test-1017.bin [--npus ethos-u55-128,ethos-u65-256]

Prints two Markdown tables. The first has one row for each network: "same top-1" is LiteRT's, with TFLite's own
kernels, against the CPU's int8 archive; "lost lead" is how far, where they differ, the CPU's top-1 was at most ahead
of LiteRT's, in parts of the probability; "right" are the answers that agree with the labels, of f32 before anything
was quantized, of the CPU's archive, and of the same TFLite file in LiteRT with these kernels and with XNNPACK's.
"Equal" is the share of int8 activations that are the same as in our kernels, in the best and in the worst layer. The
second table is Vela's estimate for each network and NPU. Ends with code 3 when a limit is missed.

MODEL is ONNX, or an archive that was quantized before. With --unlabelled, for networks without trained weights or
images without labels, nothing is right. XNNPACK's column needs CIFAR's binary format and ai-edge-litert in this
Python.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import foldnet
import numpy as np

HEAD = (
    "| network | images | same top-1 | lost lead | logits | right: f32 | CPU | LiteRT | XNNPACK | equal activations |"
)
RECORD = 1 + 3 * 32 * 32


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    for path in (*arguments.model, arguments.calibrate, arguments.test):
        foldnet.require(path, "The file", "See --help.")
    answers, estimates, missed = [], [], False
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.model:
            name, archive = foldnet.name(model), model
            right = "–"
            if not model.name.endswith(".nnef.tgz"):
                archive = Path(folder, f"{name}.nnef.tgz")
                foldnet.quantize(converter, model, arguments.calibrate, archive, arguments.quantize.split())
                if not arguments.unlabelled:
                    right = foldnet.run([converter, "eval", model, "--images", arguments.test, "--json"])["correct"]
            file = Path(folder, f"{name}.tflite")
            for number, npu in enumerate(arguments.npus.split(",")):
                row = foldnet.export(converter, ["--ethos-u", npu], archive, file, arguments)
                if number == 0:
                    answers.append(answer(name, row, right, "–" if arguments.unlabelled else xnnpack(file, arguments)))
                estimates.append(estimate(name, npu, row))
                missed |= row["agreement"] < arguments.least or row["on_npu"] < 1
    print(HEAD)
    print("|---" * HEAD.count(" |") + "|")
    print("\n".join(answers))
    print("\n| network | NPU | system | cycles | inferences/s | SRAM | flash | DRAM | on the NPU | compiled |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(estimates))
    return 3 if missed else 0


def answer(name: str, row: dict, right: int | str, with_xnnpack: int | str) -> str:
    equal = [layer["equal"] for layer in row["layers"]]
    labelled = [row["correct_cpu"], row["correct"]] if with_xnnpack != "–" else ["–", "–"]
    same = [f"{row['agreement']:.2%}", foldnet.lost_lead(row), f"{row['sqnr']:.1f} dB"]
    cells = [name, row["images"], *same, right, *labelled, with_xnnpack]
    return "| " + " | ".join(str(cell) for cell in [*cells, f"{max(equal):.2%} … {min(equal):.2%}"]) + " |"


def estimate(name: str, npu: str, row: dict) -> str:
    e = row["estimate"]
    system = f"{e['system_config']}, {e['memory_mode']}, {e['clock_hz'] / 1e6:.0f} MHz"
    memory = [f"{e[place] / 1024:.0f} KiB" for place in ("sram_bytes", "flash_bytes", "dram_bytes")]
    cells = [name, npu, system, f"{e['cycles']:,.0f}", f"{e['inferences_per_second']:.1f}", *memory]
    return "| " + " | ".join([*cells, f"{row['on_npu']:.0%}", f"{row['compiled_bytes'] / 1024:.0f} KiB"]) + " |"


def xnnpack(file: Path, arguments: argparse.Namespace) -> int | str:
    """Right answers of the file in LiteRT as it comes."""
    if arguments.test.suffix != ".bin":
        return "–"
    from ai_edge_litert.interpreter import Interpreter

    records = np.fromfile(arguments.test, np.uint8).reshape(-1, RECORD)[: arguments.images]
    pixels = (records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) ^ 0x80).view(np.int8)
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    right = 0
    for label, picture in zip(records[:, 0], pixels, strict=True):
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(result).argmax() == label)
    return right


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+")
    parser.add_argument("--calibrate", type=Path, required=True, help="pictures to quantize with")
    parser.add_argument("--test", type=Path, required=True, help="labelled pictures to compare on")
    parser.add_argument("--npus", default="ethos-u55-128,ethos-u65-256,ethos-u85-256")
    parser.add_argument("--images", type=int, default=1017, help="compare on at most this many")
    parser.add_argument("--quantize", default="", help="more flags for `converter quantize`")
    parser.add_argument("--unlabelled", action="store_true")
    parser.add_argument("--least", type=float, default=0.99, help="least share with the same top-1")
    parser.add_argument("--toolkit", type=Path, help="the tools' environment, see `converter export --help`")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
