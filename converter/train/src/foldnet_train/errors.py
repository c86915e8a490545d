"""What can go wrong, and the exit code it ends the program with."""


class BadInput(Exception):
    """Something that was given cannot be used; the message says what and what would do. Exit code 2."""


class LimitMissed(Exception):
    """A stated limit was not kept: training diverged, or a network does not fit its board. Exit code 3."""
