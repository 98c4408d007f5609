"""The checks, and how they say what they found."""

CHECKS = []


def check(name, only=None, transports=("websocket",)):
    """Adds a check: a function of a client, which yields (what, expected, got) as often as it likes.

    It runs with each client (or with `only` one), and with each of the transports that this client has."""

    def add(function):
        CHECKS.append((name, only, transports, function))
        return function

    return add


def contains(text, needle):
    """For a table: the needle if it is there, else the text that it is not in."""
    return needle if needle in text else text
