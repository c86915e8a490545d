"""The costs of a network on a board, and their limits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from foldnet_train.errors import BadInput, LimitMissed
from foldnet_train.tune.converter import call


@dataclass(frozen=True)
class Budget:
    """The limits; those that are `None` do not apply."""

    cpu: str | None = None
    """A microcontroller's, as for `converter export --plan`."""
    ram_kb: int | None = None
    flash_kb: int | None = None
    bytes: int | None = None
    """Of the archive."""
    ms: float | None = None
    """An image's time on one thread: expected of `timed_on`, or else the median on the machine that tunes."""
    timed_on: str | None = None
    """A board of the catalogue (`boards list`), whose expected time `boards fit` knows."""


def boards() -> dict[str, Budget]:
    """Returns the boards that have a name."""
    text = resources.files("foldnet_train.tune").joinpath("boards.yaml").read_text()
    return {name: Budget(**limits) for name, limits in yaml.safe_load(text).items()}


def budget(board: str | None, limits: dict[str, Any]) -> Budget:
    """Returns a board's limits, with single limits replaced."""
    known = boards()
    if board and board not in known and limits.get("ms") is None:
        raise BadInput(
            f"board {board}: one of {', '.join(known)}; or single limits. Only with --ms, any board of `boards list`"
        )
    base = known.get(board or "", Budget())
    merged = {f.name: getattr(base, f.name) if limits.get(f.name) is None else limits[f.name] for f in fields(Budget)}
    # The budget named after this machine contains a time, which is measured here.
    if merged["ms"] is not None and base.ms is None:
        merged["timed_on"] = board
    chosen = Budget(**merged)
    if (chosen.ram_kb or chosen.flash_kb) and not chosen.cpu:
        raise BadInput("a limit of RAM or flash needs to know the microcontroller: --cpu or --board")
    return chosen


def cost(archive: Path, limits: Budget) -> dict[str, float]:
    """Returns the archive's costs, as far as they are limited. Raises `LimitMissed` if a limit is exceeded."""
    found: dict[str, float] = {}
    if limits.bytes is not None and archive.stat().st_size > limits.bytes:
        raise LimitMissed(f"the archive has {archive.stat().st_size} bytes, {limits.bytes} are allowed")
    if limits.cpu:
        room = [f"--{what}={kb}" for what, kb in (("ram", limits.ram_kb), ("flash", limits.flash_kb)) if kb]
        plan = archive.with_suffix(".plan")
        # It exits with code 3, that is `LimitMissed`, if the network does not fit.
        told = call("converter", "export", "--plan", limits.cpu, archive, "-o", plan, *room)[0]
        found |= {"ram": told["ram_needed"], "flash": told["flash_needed"]}
    if limits.ms is not None:
        if limits.timed_on:
            found["ms"] = expected_ms(archive, limits.timed_on)
        else:
            found["ms"] = call("runtime", "bench", archive, "--threads", "1")[0]["median_ms"]
        if found["ms"] > limits.ms:
            raise LimitMissed(f"an image takes {found['ms']:.2f} ms, {limits.ms:g} are allowed")
    return found


def expected_ms(archive: Path, board: str) -> float:
    """Returns the time that `boards fit` expects of one inference on a board. `LimitMissed` if the archive does not fit
    there, `BadInput` if the catalogue does not contain the board or no time can be expected of it."""
    told = call("boards", "fit", archive, board)[0]
    if "expected" not in told:
        raise BadInput(f"--ms: {board} has no expected time: {told['not_estimated']}")
    return float(told["expected"]["ms"])
