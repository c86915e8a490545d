"""Counts a ResNet with CMSIS-NN on the microcontrollers that QEMU emulates, beside ours.

    cortex_m.py --source CMSIS-NN resnet8.nnef.tgz --pictures test-1017.bin

`--source` is a tree of CMSIS-NN (Include/ and Source/) that you have. The archive's weights become C arrays, its layers
calls of the library (`cortex_m/main.c`). A board counts the ticks of SysTick, of which one is 40 instructions (31.25 on
the mps3 board) under `-icount shift=0,sleep=off`; a loop of known length checks that. Memory: activations, the scratch
that the library asks for, the stack that was used. Flash: code and constants, without the images; of ours, the serial
line and the loop are in it, of CMSIS-NN's nothing but the layers.

Our rows are what `cargo test --test firmware` prints of the same boards, or the file of it that `--ours` names.
`--host` compiles for this machine instead, to compare the answers alone.

Wants arm-none-eabi-gcc with newlib and qemu-system-arm (Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi,
qemu-system-arm). `cortex_m/stand_in` has CMSIS-NN's interface and none of its speed: it tests this script.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cmsis_layers
import foldnet
import nnef_archive
import numpy as np
import pictures

HARNESS = Path(__file__).parent / "cortex_m"
# What the library needs of its sources for int8 networks of convolutions, sums and means.
FOLDERS = ("ConvolutionFunctions", "BasicMathFunctions", "PoolingFunctions", "NNSupportFunctions")
LOOP = 4_000_000
SCRATCH_LIMIT = 16 << 10


@dataclass
class Board:
    """A board of QEMU's."""

    name: str
    machine: str
    flags: list[str]
    megahertz: float
    flash: str
    ram: str


FPU = "-mfloat-abi=hard"
MPS2 = ("ORIGIN = 0, LENGTH = 4M", "ORIGIN = 0x20000000, LENGTH = 4M")
MPS3 = ("ORIGIN = 0x10000000, LENGTH = 512K", "ORIGIN = 0x30000000, LENGTH = 512K")
BOARDS = [
    Board("Cortex-M4", "mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", FPU], 25.0, *MPS2),
    Board("Cortex-M7", "mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", FPU], 25.0, *MPS2),
    Board("Cortex-M55", "mps3-an547", ["-mcpu=cortex-m55", FPU], 32.0, *MPS3),
]


@dataclass
class Counted:
    """What one inference takes."""

    instructions: float
    ram: int
    flash: int


def main() -> None:
    arguments = parse()
    foldnet.require(arguments.source / "Include" / "arm_nnfunctions.h", "CMSIS-NN", "Give its tree as --source.")
    graph = nnef_archive.read(arguments.archive)
    images = chosen(arguments.pictures, arguments.calibrate + arguments.count)
    calibration, images = images[: arguments.calibrate], images[arguments.calibrate :]
    layers = cmsis_layers.layers(graph, calibration)
    expected = nnef_archive.run(graph, images)["output"].argmax(axis=1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "layers.h").write_text(cmsis_layers.c_text(layers, images))
        if arguments.host:
            agree("this machine", expected, on_host(arguments, work))
            return
        theirs: dict[str, Counted] = {}
        for board in BOARDS:
            classes, theirs[board.machine] = on_board(arguments, board, work)
            agree(board.name, expected, classes)
    table(arguments, theirs, ours(arguments))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="what `converter quantize` writes")
    parser.add_argument("--source", type=Path, required=True, help="a tree of CMSIS-NN")
    parser.add_argument("--pictures", type=Path, required=True, help="CIFAR's binary format, or a folder of pictures")
    parser.add_argument("--count", type=int, default=8, help="pictures to classify")
    parser.add_argument("--calibrate", type=int, default=8, help="pictures, before those, that give scales")
    parser.add_argument("--flags", default="-Ofast", help="for the compiler")
    parser.add_argument("--ours", type=Path, help="what `cargo test --test firmware` printed")
    parser.add_argument("--host", action="store_true", help="compile for this machine: answers, no counts")
    return parser.parse_args()


def chosen(path: Path, count: int) -> np.ndarray:
    """Images, NHWC u8."""
    found = pictures.photographs(path, count, 32) if path.is_dir() else pictures.cifar(path)[0][:count]
    if len(found) < count:
        raise SystemExit(f"{path}: {len(found)} pictures, {count} are wanted")
    return found.astype(np.uint8)


def agree(where: str, expected: np.ndarray, classes: list[int]) -> None:
    """Says how many answers are ours; none of them may be missing, and most must agree."""
    same = sum(a == b for a, b in zip(expected, classes, strict=True))
    print(f"{where}: {same} of {len(expected)} classes as ours")
    if same < 0.75 * len(expected):
        raise SystemExit(f"{where}: ours are {list(map(int, expected))}, theirs {classes}")


def sources(tree: Path) -> list[Path]:
    """The library's files for int8."""
    files = [f for folder in FOLDERS for f in sorted((tree / "Source" / folder).glob("*.c"))]
    floats = re.compile(r"_f(16|32)\b|_flt\b")
    return [f for f in files if not floats.search(f.stem) and ("s8" in f.stem or f.parent.name == FOLDERS[-1])]


def run(command: list, **more) -> subprocess.CompletedProcess:
    """Runs a command that must succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise SystemExit(f"`{' '.join(words[:8])} …` ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def common(arguments: argparse.Namespace, work: Path) -> list:
    includes = [HARNESS, work, arguments.source / "Include"]
    return [*(f"-I{i}" for i in includes), f"-DSCRATCH_LIMIT={SCRATCH_LIMIT}", "-std=gnu11", *arguments.flags.split()]


def on_host(arguments: argparse.Namespace, work: Path) -> list[int]:
    """The classes that this machine gives."""
    files = [HARNESS / "main.c", HARNESS / "host.c", *sources(arguments.source)]
    run([shutil.which("cc") or "gcc", *common(arguments, work), *files, "-o", work / "program", "-lm"])
    return read(run([work / "program"], timeout=120).stdout)[0]


def on_board(arguments: argparse.Namespace, board: Board, work: Path) -> tuple[list[int], Counted]:
    """The classes that a board gives, and what an inference takes."""
    script = work / "board.ld"
    memory = f"MEMORY {{ FLASH : {board.flash}\n RAM : {board.ram} }}\n"
    script.write_text(memory + (HARNESS / "link.ld").read_text())
    program = work / "program.elf"
    files = [HARNESS / "main.c", HARNESS / "qemu.c", *sources(arguments.source)]
    sections = ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-nostartfiles", "--specs=nano.specs"]
    machine = [*board.flags, "-mthumb", *sections, f"-T{script}"]
    run(["arm-none-eabi-gcc", *machine, *common(arguments, work), *files, "-o", program])
    emulator = ["qemu-system-arm", "-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "none"]
    counting = ["-icount", "shift=0,sleep=off", "-semihosting-config", "enable=on,target=native"]
    done = run([*emulator, *counting, "-kernel", program], timeout=600)
    classes, ticks, memory = read(done.stdout + done.stderr)
    per_tick = 1000 / board.megahertz
    if abs(memory["loop"] * per_tick / LOOP - 1) > 0.01:
        raise SystemExit(f"{board.machine}: {memory['loop']} ticks for a loop of {LOOP} instructions")
    ram = memory["activations"] + memory["scratch"] + memory["stack"]
    return classes, Counted(max(ticks) * per_tick / 1e6, ram, flash(program))


def read(said: str) -> tuple[list[int], list[int], dict[str, int]]:
    """What the harness printed: classes, ticks, memory."""
    if "FAILED" in said:
        raise SystemExit(said)
    lines = [line.split() for line in said.splitlines()]
    answers = [line for line in lines if line[:1] == ["ticks"]]
    memory = next(line for line in lines if line[:1] == ["activations"])
    logits = [np.array(line[3:], int) for line in answers]
    ticks = [int(line[1]) for line in answers]
    return [int(one.argmax()) for one in logits], ticks, dict(zip(memory[::2], map(int, memory[1::2]), strict=True))


def flash(program: Path) -> int:
    """Code and constants."""
    lines = run(["arm-none-eabi-size", "-A", program]).stdout.splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) for line in lines if line.startswith(".")}
    return sizes[".text"] + sizes.get(".ARM.exidx", 0)


def ours(arguments: argparse.Namespace) -> dict[str, Counted]:
    """Our figures, by machine."""
    if arguments.ours:
        said = arguments.ours.read_text()
    else:
        test = ["cargo", "test", "--release", "--workspace", "--test", "firmware", "boards_give", "--", "--nocapture"]
        said = run(test, cwd=foldnet.REPOSITORY).stderr
    line = re.compile(r"^qemu-(\S+)\s+([\d.]+) M instructions · RAM +(\d+) B .* flash (\d+) B", re.MULTILINE)
    found = {m[1]: Counted(float(m[2]), int(m[3]), int(m[4])) for m in line.finditer(said)}
    if missing := [board.machine for board in BOARDS if board.machine not in found]:
        raise SystemExit(f"no figures of ours for {missing} in:\n{said}")
    return found


def table(arguments: argparse.Namespace, theirs: dict[str, Counted], own: dict[str, Counted]) -> None:
    """The table of the README."""
    peer = "stand-in" if arguments.source.resolve() == HARNESS / "stand_in" else "CMSIS-NN"
    print(f"\nOne inference of {arguments.archive.name}; {peer} built with {arguments.flags}\n")
    print(f"| | instructions | {peer} | RAM | {peer} | flash | {peer} |")
    print("|---|---|---|---|---|---|---|")
    for board in BOARDS:
        a, b = own[board.machine], theirs[board.machine]
        millions = f"{a.instructions:.2f} M | {b.instructions:.2f} M"
        kilobytes = " | ".join(f"{n / 1000:.1f} kB" for n in (a.ram, b.ram, a.flash, b.flash))
        print(f"| {board.name} | {millions} | {kilobytes} |")


if __name__ == "__main__":
    main()
