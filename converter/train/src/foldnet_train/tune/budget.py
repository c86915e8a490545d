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
    """An image's median time, one thread, on the machine that tunes."""


def boards() -> dict[str, Budget]:
    """Returns the boards that have a name."""
    text = resources.files("foldnet_train.tune").joinpath("boards.yaml").read_text()
    return {name: Budget(**limits) for name, limits in yaml.safe_load(text).items()}


def budget(board: str | None, limits: dict[str, Any]) -> Budget:
    """Returns a board's limits, with single limits replaced."""
    known = boards()
    if board and board not in known:
        raise BadInput(f"board {board}: one of {', '.join(known)}; or single limits")
    base = known[board] if board else Budget()
    merged = {f.name: getattr(base, f.name) if limits.get(f.name) is None else limits[f.name] for f in fields(Budget)}
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
        found["ms"] = call("runtime", "bench", archive, "--threads", "1")[0]["median_ms"]
        if found["ms"] > limits.ms:
            raise LimitMissed(f"an image takes {found['ms']:.2f} ms, {limits.ms:g} are allowed")
    return found
