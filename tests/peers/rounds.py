"""Round-robin timing of engines in one process, and the preparation of each peer's file in another."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import foldnet
from engines import Unavailable, engine

US = "Foldnet"
OUR_SET = {"native": [], "vnni": ["--kernels", "avx512vnni"], "avx2": ["--kernels", "avx2"]}
SETTLE_SECONDS = 0.02  # thread pools spin for a while behind an inference; let the last engine's go to sleep


@dataclass(frozen=True)
class Job:
    """One row of the table: an engine and the file that it runs."""

    engine: str
    kind: str
    version: str
    artifact: Path

    @property
    def label(self) -> str:
        return f"{self.version}, {self.kind}"


@dataclass(frozen=True)
class Setup:
    """What every job of a run shares."""

    threads: int
    rounds: int
    per_round: int
    isa: str
    runtime: Path
    image: np.ndarray
    expected: int


@dataclass
class Outcome:
    """A list of what worked and, in words, what did not."""

    jobs: list[Job] = field(default_factory=list)
    rounds_ms: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def alone(function: Callable, *values):
    """Calls the function in a process of its own: no library's threads, settings, chatter or crashes reach us."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=os.dup2, initargs=(2, 1)) as pool:
        return pool.submit(function, *values).result()


def prepare(name: str, onnx_path: Path, images: Sequence[np.ndarray], with_float: bool) -> Outcome:
    """Quantizes the network with one peer's own tool."""
    try:
        return alone(prepare_here, name, onnx_path, images, with_float)
    except BrokenProcessPool:
        return Outcome(notes=[f"{name}: its quantizer crashed"])


def prepare_here(name: str, onnx_path: Path, images: Sequence[np.ndarray], with_float: bool) -> Outcome:
    outcome, peer = Outcome(), engine(name)
    steps: dict[str, Callable[[], Path]] = {"int8": lambda: peer.prepare(onnx_path, images)}
    if with_float:
        steps["f32"] = lambda: peer.prepare_float(onnx_path)
    for kind, step in steps.items():
        try:
            outcome.jobs.append(Job(name, kind, peer.version(), step()))
        except Unavailable as reason:
            outcome.notes.append(f"{peer.version()}, {kind}: {reason}")
        except ImportError as missing:
            outcome.notes.append(f"{name}, {kind}: not installed ({missing})")
        except Exception as fault:  # noqa: BLE001 a peer's fault must not end the others' measurement
            outcome.notes.append(f"{name}, {kind}: {type(fault).__name__}: {fault}")
    return outcome


def measure(jobs: list[Job], setup: Setup) -> Outcome:
    """Loads every job on the first cores of this process, then lets them run in turn."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setup.threads])
    outcome, runners = Outcome(), {}
    for job in jobs:
        held = setup.isa == "native" or job.engine == US or engine(job.engine).hold(setup.isa)
        label = job.label if held else f"{job.label} (cannot be held)"
        try:
            runners[label] = runner(job, setup, outcome.notes)
        except Exception as fault:  # noqa: BLE001 as above
            outcome.notes.append(f"{job.label}: {type(fault).__name__}: {fault}")
    for _ in range(setup.rounds):
        for label, run in runners.items():
            time.sleep(SETTLE_SECONDS)
            run(1)
            outcome.rounds_ms.setdefault(label, []).append(statistics.median(run(setup.per_round)))
    return outcome


def runner(job: Job, setup: Setup, notes: list[str]) -> Callable[[int], list[float]]:
    """A function that runs some inferences and returns the milliseconds of each."""
    if job.engine == US:
        return foldnet.Server(setup.runtime, job.artifact, setup.threads, OUR_SET[setup.isa]).run
    peer = engine(job.engine)
    infer = peer.load(job.artifact, setup.threads, setup.image)
    best = np.ravel(infer()).argsort()[-5:]
    if setup.expected not in best:
        notes.append(f"{job.label}: f32's first class is not among its first five; distrust this row")
    return lambda count: [milliseconds(infer) for _ in range(count)]


def milliseconds(infer: Callable[[], object]) -> float:
    start = time.perf_counter()
    infer()
    return (time.perf_counter() - start) * 1e3
