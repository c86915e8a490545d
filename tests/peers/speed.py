"""Times the same network in every engine, interleaved on the same cores, each quantized by its own tool.

    speed.py --model resnet50 --images PHOTOGRAPHS --threads 1,2

In every round each engine runs one inference unmeasured and a few measured, so that a noisy neighbour or a
lower clock meets all of them. An engine's time is the median of its rounds' medians, its ratio the median of
the rounds' ratios; its best is its fastest round's median. Prints a Markdown table. Loading is not timed.
"""

from __future__ import annotations

import argparse
import os
import pickle
import platform
import statistics
from pathlib import Path

import numpy as np

import foldnet
import models
import pictures
import rounds
from engines import NAMES, engine

ISA = {
    "native": "every instruction the CPU has",
    "vnni": "AVX-512 VNNI without AMX where a switch exists",
    "avx2": "AVX2 where a switch exists",
}


def main() -> None:
    arguments = parse()
    cache = arguments.cache.expanduser()
    onnx_path = rounds.alone(models.model_path, arguments.model, cache)
    images = arguments.images or pictures.synthetic_folder(cache / "pictures", 100, models.SEED)
    inputs = models.preprocess(arguments.model, pictures.photographs(images, arguments.calibration_images, models.side(arguments.model)))
    singles = [inputs[i : i + 1] for i in range(len(inputs))]
    prepared = cache / f"{arguments.model}.prepared.pickle"
    if arguments.reuse:
        foldnet.require(prepared, "What `--prepare` leaves", "Run the same command with it first.")
        outcome = pickle.loads(prepared.read_bytes())
    else:
        outcome = prepare(arguments, onnx_path, images, singles)
        prepared.write_bytes(pickle.dumps(outcome))
    jobs = [job for job in outcome.jobs if job.engine == rounds.US or job.engine in arguments.peers.split(",")]
    notes = outcome.notes
    if arguments.prepare:
        return print("\n".join([*(f"{job.label}: {job.artifact}" for job in jobs), *notes]))
    if not jobs:
        raise SystemExit("\n".join(["nothing to time:", *notes]))
    expected = int(rounds.alone(reference, onnx_path, singles[0]).argmax())
    macs = models.multiply_accumulates(onnx_path)
    print_heading(arguments, macs, len(singles))
    for threads in arguments.threads:
        setup = rounds.Setup(
            threads,
            arguments.rounds,
            arguments.per_round,
            arguments.isa,
            arguments.runtime,
            singles[0],
            expected,
        )
        outcome = rounds.alone(rounds.measure, jobs, setup)
        print_table(threads, outcome.rounds_ms, macs, arguments.peak_gmacs)
        notes += outcome.notes
    for note in dict.fromkeys(notes):
        print(f"- {note}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=models.NAMES, default="resnet50", help="the network (default: %(default)s)")
    parser.add_argument("--images", type=Path, help="photographs to calibrate on (default: synthetic ones)")
    parser.add_argument("--calibration-images", type=int, default=100, help="how many of them (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=models.DEFAULT_CACHE, help="models and artifacts (%(default)s)")
    parser.add_argument("--threads", type=thread_counts, default="1,2", help="thread counts, by comma (%(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: %(default)s)")
    parser.add_argument("--per-round", type=int, default=5, help="inferences each a round (default: %(default)s)")
    parser.add_argument("--peers", default=",".join(NAMES), help="which peers (default: %(default)s)")
    stages = parser.add_mutually_exclusive_group()
    stages.add_argument("--prepare", action="store_true", help="quantize only")
    stages.add_argument("--reuse", action="store_true", help="time what --prepare left in the cache")
    parser.add_argument("--float", action="store_true", help="the peers' f32 too")
    parser.add_argument("--isa", choices=ISA, default="native", help="hold all to vnni (no AMX) or avx2")
    parser.add_argument("--peak-gmacs", type=float, help="the CPU's int8 GMAC/s a core, for the per cent of peak")
    parser.add_argument("--runtime", type=Path, default=foldnet.program("runtime"), help="our runtime")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--archive", type=Path, help="our archive of the network (default: the converter makes it)")
    parser.add_argument("--quantize-option", action="append", default=[], help="passed on to `converter quantize`")
    return parser.parse_args()


def thread_counts(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",")]
    available = len(os.sched_getaffinity(0))
    if not all(1 <= n <= available for n in numbers):
        raise argparse.ArgumentTypeError(f"this machine has 1 to {available} threads for us")
    return numbers


def prepare(
    arguments: argparse.Namespace, onnx_path: Path, images: Path, singles: list[np.ndarray]
) -> rounds.Outcome:
    """Quantizes the network with every engine's own tool."""
    jobs, notes = ours(arguments, onnx_path, images)
    for name in arguments.peers.split(","):
        outcome = rounds.prepare(name, onnx_path, singles, arguments.float)
        jobs, notes = jobs + outcome.jobs, notes + outcome.notes
    return rounds.Outcome(jobs, notes=notes)


def ours(arguments: argparse.Namespace, onnx_path: Path, images: Path) -> tuple[list[rounds.Job], list[str]]:
    """Our row, or why there is none."""
    if not arguments.runtime.exists():
        return [], [f"{rounds.US}: {arguments.runtime} is not built (`cargo build --release`); peers only"]
    archive = arguments.archive
    if archive is None and not arguments.converter.exists():
        return [], [f"{rounds.US}: {arguments.converter} is not built and no --archive is given; peers only"]
    if archive is None:
        archive = onnx_path.with_suffix(".nnef.tgz")
        options = ["--max-images", str(arguments.calibration_images), *arguments.quantize_option]
        foldnet.quantize(arguments.converter, onnx_path, images, archive, options)
    foldnet.require(archive, "The archive", "Make it with `converter quantize`.")
    return [rounds.Job(rounds.US, "int8", rounds.US, archive)], []


def reference(onnx_path: Path, image: np.ndarray) -> np.ndarray:
    """ONNX Runtime's f32 scores."""
    return engine("onnxruntime").load(onnx_path, 1, image)()


def print_heading(arguments: argparse.Namespace, macs: int, images: int) -> None:
    isa = ISA[arguments.isa]
    print(f"**{arguments.model}**, {macs / 1e9:.2f} GMAC, batch 1, on {cpu_name()}, {isa}.")
    print(f"{arguments.rounds} rounds of {arguments.per_round}, calibrated on {images} images; load average")
    print(f"at the start {os.getloadavg()[0]:.1f}. Ratio: an engine's time over ours, or over the fastest without us.")


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    flags = [flag for flag in ("avx2", "avx_vnni", "avx512_vnni", "amx_int8") if flag in fields.get("flags", "").split()]
    return f"{fields.get('model name', platform.processor() or platform.machine())} ({', '.join(flags)})"


def print_table(threads: int, times: dict[str, list[float]], macs: int, peak: float | None) -> None:
    """One table: median, ratio and rate of every engine."""
    medians = {label: statistics.median(ms) for label, ms in times.items()}
    base = next((label for label in medians if label.startswith(rounds.US)), min(medians, key=medians.__getitem__))
    print(
        f"\n| {threads} thread{'s' * (threads > 1)} | median ms | best ms | ratio | GMAC/s |{' of peak |' * (peak is not None)}"
    )
    print(f"|---|---|---|---|---|{'---|' * (peak is not None)}")
    for label, median in sorted(medians.items(), key=lambda row: row[1]):
        ratio = statistics.median(a / b for a, b in zip(times[label], times[base], strict=True))
        rate = macs / median / 1e6
        share = f" {rate / peak / threads:.0%} |" if peak else ""
        print(f"| {label} | {median:.3g} | {min(times[label]):.3g} | {ratio:.2f} | {rate:.0f} |{share}")
    print()


if __name__ == "__main__":
    main()
