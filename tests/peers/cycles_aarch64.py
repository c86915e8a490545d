"""Estimates the time of one inference on AArch64 boards, in a model of their cores and caches.

    cycles_aarch64.py --runtime target/aarch64-unknown-linux-musl/release/runtime resnet50.nnef.tgz resnet18.nnef.tgz

The emulator's plugin models issue, caches and memory of each board; its README states where the model's figures
come from and how far its estimates were from published times: 4 to 9 % too fast on cores that issue in order,
11 to 18 % on others. Use it to compare two programs, not as a time. One thread; the second inference counts.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from pathlib import Path

import foldnet

# Board: the emulated CPU, which decides what our runtime chooses.
BOARDS = {"zero2w": "cortex-a53", "rk3566": "cortex-a55", "rpi4": "cortex-a72", "rpi5": "cortex-a76"}
REMEDY = "Give the folder with the plugin as --cycles-dir or in FOLDNET_CYCLES_DIR, and the emulator's as --count-dir."


def main() -> None:
    arguments = parse()
    emulator = foldnet.require(arguments.count_dir / "qemu-aarch64", "The emulator", REMEDY).resolve()
    plugin = foldnet.require(arguments.cycles_dir / "libcycles.so", "The plugin", REMEDY).resolve()
    runtime = foldnet.require(arguments.runtime, "The aarch64 runtime", "`boards build` makes one.")
    print("One inference on one thread: estimated milliseconds, instructions in millions, instructions per cycle\n")
    print("| board | network | ms | instructions | per cycle | waits for memory |")
    print("|---|---|---|---|---|---|")
    for board in arguments.board or BOARDS:
        for archive in arguments.archives:
            fields = estimate(emulator, plugin, arguments.sysroot, board, runtime, archive)
            waits = sum(float(fields[name].rstrip("%")) for name in ("L2", "memory"))
            cells = [f"{float(fields['ms']):.1f}", f"{int(fields['insns']) / 1e6:.0f}", fields["ipc"], f"{waits:.0f} %"]
            print(f"| {board} | {archive.name} | {' | '.join(cells)} |", flush=True)


def parse() -> argparse.Namespace:
    shared = foldnet.REPOSITORY.parent / "shared"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="+", type=Path, help="the networks")
    parser.add_argument("--runtime", type=Path, required=True, help="our runtime, built for aarch64")
    parser.add_argument("--board", action="append", choices=BOARDS, help="a board, repeatable (default: all)")
    cycles_dir = Path(os.environ.get("FOLDNET_CYCLES_DIR", shared / "cycles"))
    parser.add_argument("--cycles-dir", type=Path, default=cycles_dir, help="the plugin's folder")
    count_dir = Path(os.environ.get("FOLDNET_COUNT_DIR", shared / "count"))
    parser.add_argument("--count-dir", type=Path, default=count_dir, help="the emulator's folder")
    parser.add_argument(
        "--sysroot", type=Path, default=Path("/usr/aarch64-linux-gnu"), help="its C library (%(default)s)"
    )
    return parser.parse_args()


def estimate(emulator: Path, plugin: Path, sysroot: Path, board: str, runtime: Path, archive: Path) -> dict[str, str]:
    """The plugin's figures of the inference between the program's first answer and its second."""
    words = [emulator, "-cpu", BOARDS[board], "-L", sysroot]
    words += ["-plugin", f"{plugin},board={board},markwrite=1", "-d", "plugin"]
    words += [runtime, "bench", archive, "--serve-stdin", "--no-cache", "--threads", "1"]
    done = subprocess.run([str(w) for w in words], input="run 1\nrun 1\n", capture_output=True, text=True, check=False)
    marks = [line for line in done.stderr.splitlines() if line.startswith("mark ")]
    if done.returncode or not marks:
        raise SystemExit(f"{board}, {archive}: no estimate:\n{done.stderr[-2000:]}")
    return dict(re.findall(r"(\w+)=(\S+)", marks[0]))


if __name__ == "__main__":
    main()
