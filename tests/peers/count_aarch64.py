"""Counts the AArch64 instructions and memory operations of one inference, exactly, in an emulator.

    count_aarch64.py --runtime target/aarch64-unknown-linux-gnu/release/runtime --archive resnet50.nnef.tgz

The program runs n and n + k inferences on one thread; the difference over k is one inference, without start
and loading. An instruction count is not a time: it knows no caches and no dual issue.

--peers adds ONNX Runtime and LiteRT from their aarch64 wheels. It wants `--python-root`, a Debian arm64 root
with python3.11 and the wheels under site/; arm_root.sh beside the plugin makes one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import foldnet
import models
import pictures
import rounds
from engines import engine

CPUS = ("cortex-a53", "cortex-a76", "max,sve=off")
PEERS = ("onnxruntime", "litert")
Counts = dict[str, int]


def main() -> None:
    arguments = parse()
    emulator = foldnet.require(arguments.count_dir / "qemu-aarch64", "The emulator", COUNT_REMEDY).resolve()
    plugin = foldnet.require(arguments.count_dir / "libcount.so", "The counting plugin", COUNT_REMEDY).resolve()
    rows: dict[str, Callable[[str, int], Counts]] = {}
    if arguments.runtime:
        rows["Foldnet"] = ours(arguments, emulator, plugin)
    for name in arguments.peers.split(",") if arguments.peers else []:
        rows[name] = peer(arguments, name, emulator, plugin)
    if not rows:
        raise SystemExit("nothing to count: give --runtime and --archive, or --peers")
    print(f"**{arguments.model if arguments.peers else Path(arguments.archive).name}**, guest instructions of")
    print("one inference on one thread, in millions\n")
    print("| CPU | engine | instructions | vector | loads and stores | integer | branches |")
    print("|---|---|---|---|---|---|---|")
    for cpu in arguments.cpu or CPUS:
        for label, count in rows.items():
            few, many = count(cpu, arguments.first), count(cpu, arguments.first + arguments.more)
            one = {key: (many[key] - few[key]) / arguments.more / 1e6 for key in many}
            cells = " | ".join(f"{one[key]:.{0 if one[key] >= 100 else 2}f}" for key in ("insns", "simd", "mem", "int", "branch"))
            print(f"| {cpu} | {label} | {cells} |", flush=True)


COUNT_REMEDY = "Give the folder with the emulator and its plugin as --count-dir or in FOLDNET_COUNT_DIR."


def parse() -> argparse.Namespace:
    beside = foldnet.REPOSITORY.parent / "shared" / "count"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", type=Path, help="our runtime, built for aarch64")
    parser.add_argument("--archive", type=Path, help="the network it runs")
    parser.add_argument(
        "--sysroot", type=Path, default=Path("/usr/aarch64-linux-gnu"), help="its C library (%(default)s)"
    )
    parser.add_argument("--cpu", action="append", help=f"an emulated CPU, repeatable (default: {', '.join(CPUS)})")
    parser.add_argument("--first", type=int, default=1, help="n, inferences of the short run (default: %(default)s)")
    parser.add_argument(
        "--more", type=int, default=2, help="k, how many more the long one makes (default: %(default)s)"
    )
    parser.add_argument("--peers", default="", help=f"peers to count too, by comma: {', '.join(PEERS)}")
    parser.add_argument("--python-root", type=Path, help="the arm64 root with python3.11 and the peers' wheels")
    parser.add_argument("--model", choices=models.NAMES, default="resnet50", help="the peers' network (%(default)s)")
    parser.add_argument("--cache", type=Path, default=models.DEFAULT_CACHE, help="models and artifacts (%(default)s)")
    count_dir = Path(os.environ.get("FOLDNET_COUNT_DIR", beside))
    parser.add_argument("--count-dir", type=Path, default=count_dir, help="the emulator's folder")
    return parser.parse_args()


def ours(arguments: argparse.Namespace, emulator: Path, plugin: Path) -> Callable[[str, int], Counts]:
    runtime = foldnet.require(arguments.runtime, "The aarch64 runtime", "Cross-compile it.")
    archive = foldnet.require(arguments.archive, "The archive", "Make it with `converter quantize`.")

    def count(cpu: str, iterations: int) -> Counts:
        # Compiled each time: with the cache, only the first run would.
        program = [runtime, "bench", archive, "--threads", "1", "--iterations", iterations, "--no-cache"]
        return emulate(emulator, plugin, cpu, ["-L", arguments.sysroot], program, {})

    return count


def peer(arguments: argparse.Namespace, name: str, emulator: Path, plugin: Path) -> Callable[[str, int], Counts]:
    if name not in PEERS:
        raise SystemExit(f"{name}: only {', '.join(PEERS)} can be counted")
    root = foldnet.require(arguments.python_root, "--python-root", "Make one with arm_root.sh.").resolve()
    python = foldnet.require(root / "usr/bin/python3.11", "The root's Python", "Make the root with arm_root.sh.")
    artifact = rounds.alone(prepare, name, arguments.model, arguments.cache.expanduser()).resolve()
    here = Path(__file__).resolve().parent

    def count(cpu: str, iterations: int) -> Counts:
        program = [python, "-S", here / "run_peer.py", name, artifact, arguments.model, iterations]
        settings = {"PYTHONPATH": f"{root / 'site'}:{here}", "PYTHONHOME": str(root / "usr")}
        return emulate(emulator, plugin, cpu, ["-L", root], program, settings)

    return count


def prepare(name: str, model: str, cache: Path) -> Path:
    """The peer's file for AArch64, made on this machine; synthetic images do, as values don't change the count."""
    onnx_path = models.model_path(model, cache)
    images = models.preprocess(model, pictures.synthetic(10, models.SEED, models.side(model)))
    return engine(name).prepare_aarch64(onnx_path, [images[i : i + 1] for i in range(len(images))])


def emulate(emulator: Path, plugin: Path, cpu: str, options: list, program: list, settings: dict[str, str]) -> Counts:
    """One run under the counting plugin."""
    with tempfile.NamedTemporaryFile("r", suffix=".counts") as log:
        words = [emulator, "-cpu", cpu, *options, "-plugin", plugin, "-d", "plugin", "-D", log.name]
        words += [word for name, value in settings.items() for word in ("-E", f"{name}={value}")]
        words = [str(word) for word in (*words, *program)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"`{' '.join(words)}` ended with code {done.returncode}:\n{done.stderr.strip()[-2000:]}")
        last = re.findall(r"insns=.*", log.read() + done.stderr)
    if not last:
        raise SystemExit(f"`{' '.join(words)}` printed no counts; is {plugin.name} built for this emulator?")
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", last[-1])}


if __name__ == "__main__":
    main()
