"""Flags that several subcommands share."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from foldnet_train.settings import Settings, convert, from_file


def add_settings(to: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting, and --settings for a file of settings."""
    to.add_argument("--settings", type=Path, metavar="YAML", help="file of settings; flags come first")
    group = to.add_argument_group("settings")
    for each in dataclasses.fields(Settings):
        limits = each.metadata["range"]
        shown = ",".join(map(str, each.default)) if isinstance(each.default, tuple) else each.default
        default = f" (default: {shown})" if shown not in ("", ()) and "default" not in limits.help else ""
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            metavar=each.name.split("_")[-1].upper(),
            help=(limits.help + (f": {', '.join(map(str, limits.choices))}" if limits.choices else "") + default),
        )


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings from the file and the flags, checked one by one."""
    values = from_file(arguments.settings) if arguments.settings else {}
    for each in dataclasses.fields(Settings):
        text = getattr(arguments, each.name)
        if text is not None:
            values[each.name] = convert(each.name, text)
    return values
