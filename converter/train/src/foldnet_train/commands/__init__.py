"""One file per subcommand. A module's first line is its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Protocol

Say = Callable[[str], None]


class Command(Protocol):
    """What a subcommand's module has."""

    __doc__: str | None

    @staticmethod
    def add_flags(to: argparse.ArgumentParser) -> None:
        """Declares its flags."""

    @staticmethod
    def run(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
        """Does it; returns what `--json` prints."""
