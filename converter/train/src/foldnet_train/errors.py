"""The program's errors and their exit codes."""


class BadInput(Exception):
    """An input cannot be used; the message says why and what to do. Exit code 2."""


class LimitMissed(Exception):
    """A given limit was missed: training diverged, or a network does not fit its board. Exit code 3."""
