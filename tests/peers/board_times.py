"""Makes the table of costs from which `boards fit` expects an inference's time: `boards/catalogue/times.toml`.

    board_times.py --program target/aarch64-unknown-linux-musl/release/examples/mark_steps --cache D *.nnef.tgz

The emulator of `cycles_aarch64.py` runs each network on each core, with a marker behind each step (the example
`mark_steps` of the crate `foldnet-boards`, built for aarch64-unknown-linux-musl). A step's estimated cycles are what its
amounts of work, which the same program prints, should explain. Non-negative least squares finds what one of each kind
of work costs on each core: over the steps, and over whole networks, which count more. Each network is also predicted
from the others alone; the largest of these errors widens the interval of every expected time.

The table is then held against other boards with these cores, whose clocks and memories differ; their errors count, too.

Writes the table and, beside its test, each network's amounts and estimates. Prints predictions beside estimates.
`converter quantize` makes the archives: ResNet-18 from `models.py`, ResNet-50 and ResNet-50 V2 from there or from
`tests/networks`, the small ones from trained models.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import re
import subprocess
from pathlib import Path

import numpy as np

import foldnet
from cycles_aarch64 import BOARDS, REMEDY

CATALOGUE = foldnet.REPOSITORY / "boards" / "catalogue"


@dataclasses.dataclass(frozen=True)
class Core:
    """A core of the table, on the board that the emulator models."""

    name: str
    board: str
    ghz: float
    in_order: bool
    cache_kb: int


# Clock and last cache as the emulator has them.
CORES = [
    Core("cortex-a53", "zero2w", 1.0, True, 512),
    Core("cortex-a55", "rk3566", 1.8, True, 512),
    Core("cortex-a72", "rpi4", 1.8, False, 1024),
    Core("cortex-a76", "rpi5", 2.4, False, 2048),
]

# Other boards with these cores: the core's name, the board, its clock, and whether its error counts. It does not where
# the caches are so much larger that other amounts of weights come from main memory.
OTHERS = [
    ("cortex-a53", "rpi3b+", 1.4, True),
    ("cortex-a53", "unoq", 2.0, True),
    ("cortex-a55", "rk3568", 2.0, True),
    ("cortex-a55", "rk3588l", 1.8, False),
    ("cortex-a72", "rk3399b", 1.8, True),
    ("cortex-a76", "rk3588b", 2.3, True),
]

# What ncnn's authors and users published, ms, and the emulator's estimate, from the emulator's own report: in order?,
# int8?, year of the row, published, estimate.
PUBLISHED = [
    (True, True, 2023, 893.8, 860.6),
    (True, False, 2023, 979.8, 945.3),
    (True, True, 2023, 312.7, 290.1),
    (True, False, 2023, 379.6, 340.9),
    (True, True, 2024, 325.1, 310.1),
    (True, True, 2024, 150.4, 139.9),
    (True, True, 2023, 391.9, 355.5),
    (True, True, 2023, 187.8, 173.8),
    (True, True, 2022, 1313.0, 1131.5),
    (True, True, 2022, 479.4, 361.9),
    (True, True, 2022, 443.0, 359.7),
    (True, True, 2022, 228.0, 179.2),
    (False, True, 2022, 397.7, 346.1),
    (False, True, 2022, 151.4, 126.0),
    (False, True, 2023, 424.0, 359.7),
    (False, True, 2023, 158.5, 130.5),
    (False, False, 2023, 191.1, 164.2),
    (False, True, 2023, 80.2, 68.1),
    (False, True, 2023, 36.4, 32.3),
    (False, False, 2023, 89.4, 80.4),
    (False, False, 2023, 29.7, 29.0),
]

# What main memory decides costs nanoseconds, whatever the core's clock is.
IN_NANOSECONDS = ("streamed_weight", "streamed_tensor")
# Of a network with an archive larger than this the first inference is as good as the second: no cache holds it, and
# ResNet-18's differ by 0.01 %.
LARGE = 4 << 20
# A whole network counts as much as this many times its steps.
WHOLE = 3.0


@dataclasses.dataclass
class Estimate:
    """A network on a core: its steps' amounts and estimated cycles."""

    network: str
    amounts: list[dict[str, float]]
    cycles: list[float]

    def total(self) -> dict[str, float]:
        """The amounts of all steps."""
        names = dict.fromkeys(name for step in self.amounts for name in step)
        return {name: sum(step.get(name, 0.0) for step in self.amounts) for name in names}


def main() -> None:
    arguments = parse()
    emulator = foldnet.require(arguments.count_dir / "qemu-aarch64", "The emulator", REMEDY).resolve()
    plugin = foldnet.require(arguments.cycles_dir / "libcycles.so", "The plugin", REMEDY).resolve()
    program = foldnet.require(arguments.program, "The example `mark_steps`", "Build it for aarch64.").resolve()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    table, tests, worst = [heading(), biases()], [], []
    print("| core, board | network | estimated ms | predicted | error | predicted without it | error |")
    print("|---|---|---|---|---|---|---|")
    for core in CORES:
        networks = []
        for archive in arguments.archives:
            cycles = estimate(emulator, plugin, program, core, core.board, archive, arguments.cache)
            networks.append(Estimate(foldnet.name(archive), steps(emulator, program, core, archive), cycles))
        costs = fit(networks)
        errors = report(core, networks, costs)
        for board, ghz, counts in [other[1:] for other in OTHERS if other[0] == core.name]:
            for archive in arguments.other:
                network = Estimate(foldnet.name(archive), steps(emulator, program, core, archive), [])
                network.cycles = estimate(emulator, plugin, program, core, board, archive, arguments.cache)
                error = elsewhere(core, board, ghz, network, costs)
                errors += [error] if counts else []
        worst.append(max(errors))
        table.append(entry(core, costs, max(errors)))
        tests += [case(core, network) for network in networks]
    (CATALOGUE / "times.toml").write_text("\n".join(table))
    (CATALOGUE / "src" / "times" / "estimates.toml").write_text(
        "\n".join(["# Written by tests/peers/board_times.py.", *tests])
    )
    print(f"\nLargest error where the costs were not fitted: {max(worst):.1%}")


def parse() -> argparse.Namespace:
    shared = foldnet.REPOSITORY.parent / "shared"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="+", type=Path, help="the networks")
    parser.add_argument(
        "--other", action="append", default=[], type=Path, help="one to try on other boards, repeatable"
    )
    parser.add_argument("--program", type=Path, required=True, help="the example `mark_steps`, built for aarch64")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the cycles of each network on each core")
    cycles_dir = Path(os.environ.get("FOLDNET_CYCLES_DIR", shared / "cycles"))
    parser.add_argument("--cycles-dir", type=Path, default=cycles_dir, help="the plugin's folder")
    count_dir = Path(os.environ.get("FOLDNET_COUNT_DIR", shared / "count"))
    parser.add_argument("--count-dir", type=Path, default=count_dir, help="the emulator's folder")
    return parser.parse_args()


def run(words: list[object]) -> subprocess.CompletedProcess[str]:
    """A program's output, or the end with its own words."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"`{' '.join(str(w) for w in words)}` ended with code {done.returncode}:\n{done.stderr[-2000:]}"
        )
    return done


def steps(emulator: Path, program: Path, core: Core, archive: Path) -> list[dict[str, float]]:
    """Each step's amounts."""
    done = run([emulator, "-cpu", BOARDS[core.board], program, archive, core.name])
    return [json.loads(line)["amounts"] for line in done.stdout.splitlines()]


def estimate(
    emulator: Path, plugin: Path, program: Path, core: Core, board: str, archive: Path, cache: Path
) -> list[float]:
    """Each step's cycles in an inference that another one preceded. Kept in `cache`, as the emulator takes minutes."""
    kept = cache / f"{foldnet.name(archive)}.{board}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    words = [emulator, "-cpu", BOARDS[core.board], "-plugin", f"{plugin},board={board},mark=on", "-d", "plugin"]
    large = archive.stat().st_size > LARGE
    done = run([*words, program, archive, core.name, "--run-once" if large else "--run"])
    marks = [line for line in done.stderr.splitlines() if line.startswith("mark ")]
    # The first is the inference that warms the caches.
    marks = marks if large else marks[1:]
    if len(marks) != len(done.stdout.splitlines()):
        raise SystemExit(f"{board}, {archive}: {len(marks)} markers:\n{done.stderr[-2000:]}")
    cycles = [float(re.search(r" cycles=(\d+)", mark)[1]) for mark in marks]
    kept.write_text(json.dumps(cycles))
    return cycles


def fit(networks: list[Estimate]) -> dict[str, float]:
    """Cycles of one of each kind of work."""
    names = sorted({name for network in networks for step in network.amounts for name in step})
    rows, targets = [], []
    for network in networks:
        whole = sum(network.cycles)
        # A step's error counts as part of its network, but a small step is no noise either.
        for amounts, cycles in zip(network.amounts, network.cycles, strict=True):
            weight = 1.0 / math.sqrt(whole * cycles)
            rows.append([amounts.get(name, 0.0) * weight for name in names])
            targets.append(cycles * weight)
        total = network.total()
        rows.append([total.get(name, 0.0) * WHOLE / whole for name in names])
        targets.append(WHOLE)
    costs = non_negative(np.array(rows), np.array(targets))
    return {name: float(cost) for name, cost in zip(names, costs, strict=True) if cost > 0}


def non_negative(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Least squares without negative solutions (Lawson and Hanson)."""
    scale = np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    rows = rows / scale
    solution = np.zeros(rows.shape[1])
    free = np.zeros(rows.shape[1], bool)
    while True:
        slope = rows.T @ (targets - rows @ solution)
        slope[free] = -np.inf
        if free.all() or slope.max() < 1e-9:
            return solution / scale
        free[slope.argmax()] = True
        while True:
            trial = np.zeros_like(solution)
            trial[free] = np.linalg.lstsq(rows[:, free], targets, rcond=None)[0]
            if (trial[free] > 0).all():
                solution = trial
                break
            against = free & (trial <= 0)
            reach = (solution[against] / (solution[against] - trial[against])).min()
            solution += reach * (trial - solution)
            free &= solution > 1e-12
            solution[~free] = 0


def predict(costs: dict[str, float], network: Estimate) -> float:
    """Cycles of a network."""
    return sum(amount * costs.get(name, 0.0) for name, amount in network.total().items())


def report(core: Core, networks: list[Estimate], costs: dict[str, float]) -> list[float]:
    """Prints a core's rows; each network's error when it was left out of the fit."""
    errors = []
    for network in networks:
        whole = sum(network.cycles)
        others = fit([other for other in networks if other is not network])
        ours, alone = predict(costs, network), predict(others, network)
        errors.append(abs(alone / whole - 1))
        ms = [cycles / core.ghz / 1e6 for cycles in (whole, ours, alone)]
        cells = [
            f"{ms[0]:.2f}",
            f"{ms[1]:.2f}",
            f"{ours / whole - 1:+.1%}",
            f"{ms[2]:.2f}",
            f"{alone / whole - 1:+.1%}",
        ]
        print(f"| {core.name}, {core.board} | {network.network} | {' | '.join(cells)} |", flush=True)
    return errors


def elsewhere(core: Core, board: str, ghz: float, network: Estimate, costs: dict[str, float]) -> float:
    """Prints a row of another board with this core; the error."""
    total = network.total()
    nanoseconds = sum(total.get(name, 0.0) * costs.get(name, 0.0) / core.ghz for name in IN_NANOSECONDS)
    cycles = sum(amount * costs.get(name, 0.0) for name, amount in total.items() if name not in IN_NANOSECONDS)
    ms, alone = sum(network.cycles) / ghz / 1e6, (cycles / ghz + nanoseconds) / 1e6
    print(
        f"| {core.name}, {board} | {network.network} | {ms:.2f} | | | {alone:.2f} | {alone / ms - 1:+.1%} |", flush=True
    )
    return abs(alone / ms - 1)


def heading() -> str:
    return """\
# What one of each kind of work costs on each core (`src/times/work.rs` says what they are), and how far the estimates
# that the costs were fitted to were from published times. Written by tests/peers/board_times.py.
"""


def biases() -> str:
    """Published times as multiples of the estimates: the ends over all rows, the middle over int8 rows since 2023."""
    lines = ["[bias]"]
    for word, in_order in (("in_order", True), ("out_of_order", False)):
        all_rows = [row[3] / row[4] for row in PUBLISHED if row[0] is in_order]
        own = [row[3] / row[4] for row in PUBLISHED if row[0] is in_order and row[1] and row[2] >= 2023]
        middle = math.exp(sum(map(math.log, own)) / len(own))
        lines.append(f"{word} = {{ low = {min(all_rows):.3f}, middle = {middle:.3f}, high = {max(all_rows):.3f} }}")
    return "\n".join(lines) + "\n"


def entry(core: Core, costs: dict[str, float], error: float) -> str:
    """A core's lines in the table."""
    lines = ["[[core]]", f'core = "{core.name}"', f"in_order = {str(core.in_order).lower()}"]
    lines += [f"cache_kb = {core.cache_kb}", f"error = {error:.4f}", "[core.cycles]"]
    lines += [f"{name} = {cost:.5g}" for name, cost in costs.items() if name not in IN_NANOSECONDS]
    lines += ["[core.nanoseconds]"]
    lines += [f"{name} = {cost / core.ghz:.5g}" for name, cost in costs.items() if name in IN_NANOSECONDS]
    return "\n".join(lines) + "\n"


def case(core: Core, network: Estimate) -> str:
    """A network's amounts and estimate on a core, for the table's test."""
    lines = [
        "[[estimate]]",
        f'core = "{core.name}"',
        f"mhz = {round(core.ghz * 1000)}",
        f'network = "{network.network}"',
    ]
    lines += [f"ms = {sum(network.cycles) / core.ghz / 1e6:.4f}", "[estimate.amounts]"]
    lines += [f"{name} = {round(amount)}" for name, amount in network.total().items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
