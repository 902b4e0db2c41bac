"""What a program and its test say to each other: one JSON value a line. The first
line in is the settings; then the program asks for what only a browser can do, and
says what it has done."""

import json
import sys


def say(**what):
    print(json.dumps(what), flush=True)


def hear():
    line = sys.stdin.readline()
    if not line:
        raise EOFError("the test went away")
    return json.loads(line)


def visit(url):
    """The browser goes there; the address that it ends at comes back."""
    say(visit=url)
    return hear()["url"]


def approve(what):
    """A person lets a device in, or confirms what a client asked for."""
    say(approve=what)
    hear()


def did(what):
    """This works. The test knows what must be among it."""
    say(did=what)


def refused(what, attempt, kind, error=None):
    """The attempt fails with an exception of the library, which has our error code."""
    try:
        attempt()
    except kind as err:
        got = getattr(err, "error", None)
        if error is not None and got != error:
            raise AssertionError(f"{what}: {got!r}, want {error!r}: {err}") from err
        did("refused: " + what)
        return
    raise AssertionError(f"{what} was not refused")


settings = hear()
