"""The program `foldnet-train`."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version

from foldnet_train.commands import Command, evaluate, export, fit, qat, tune
from foldnet_train.errors import BadInput, LimitMissed

COMMANDS: dict[str, Command] = {"fit": fit, "tune": tune, "qat": qat, "export": export, "evaluate": evaluate}


def main(words: list[str] | None = None) -> int:
    """Runs the program; returns its exit code: 0 success, 1 internal or system error, 2 bad input, 3 a missed limit."""
    arguments = parser().parse_args(words)

    def say(text: str) -> None:
        if not arguments.quiet:
            print(text, file=sys.stderr, flush=True)

    try:
        result = COMMANDS[arguments.command].run(arguments, say)
    except BadInput as error:
        return failed(error, 2)
    except LimitMissed as error:
        return failed(error, 3)
    except OSError as error:
        return failed(error, 1)
    except KeyboardInterrupt:
        return failed("interrupted; --resume goes on after the last epoch", 130)
    if arguments.json:
        print(json.dumps(result))
    return 0


def failed(problem: object, code: int) -> int:
    """Prints the error."""
    print(f"error: {problem}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """Returns the parser with all flags."""
    top = argparse.ArgumentParser(prog="foldnet-train", description="Train, tune and export networks for Foldnet.")
    top.add_argument("--version", action="version", version=f"%(prog)s {version('foldnet-train')}")
    commands = top.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        about = command.__doc__ or ""
        one = commands.add_parser(name, help=about.splitlines()[0], description=about)
        one.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")
        one.add_argument("--quiet", action="store_true", help="no words on standard error but errors")
        command.add_flags(one)
    return top
