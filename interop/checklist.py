"""The checks, and how they say what they found."""

import subprocess

CHECKS = []
BOTH = ("websocket", "spdy")


class TimedOut(Exception):
    """Something that was expected did not come."""


def check(name, only=None, transports=("websocket",)):
    """Adds a check: a function of a client, which yields (what, expected, got) as often as it likes.

    It runs with each client (or with `only` one), over each of the transports."""

    def add(function):
        CHECKS.append((name, only, transports, function))
        return function

    return add


def contains(text, needle):
    """For a table: the needle if it is there, else the text that it is not in."""
    return needle if needle in text else text


def run_all(clients, word):
    """The rows of all checks whose names hold this word, printed as they come."""
    print_row(("check", "client", "what", "expected", "got", True))
    rows = []
    for name, only, transports, function in CHECKS:
        if word not in name:
            continue
        chosen = [client for client in clients if only in (None, client.name)]
        for client in [over for client in chosen for over in client.over(transports)]:
            for row in run_check(client, name, function):
                print_row(row)
                rows.append(row)
    return rows


def verdict(rows):
    """Says how many failed; gives the exit code."""
    failed = sum(not row[-1] for row in rows)
    print(f"\n{len(rows)} results, {failed} failed")
    if not rows:
        print("NOTHING WAS CHECKED")
    return 1 if failed or not rows else 0


def run_check(client, name, function):
    """The rows of one check. What it cannot finish is a failed row, and the next check goes on."""
    rows = []
    try:
        for what, expected, got in function(client):
            rows.append((name, client.label, what, expected, got, expected == got))
    except (TimedOut, subprocess.TimeoutExpired) as error:
        rows.append((name, client.label, "", "an end in time", str(error), False))
    except Exception as error:  # pylint: disable=broad-except
        rows.append((name, client.label, "", "no error of the check", repr(error), False))
    return rows


def cell(value):
    text = value if isinstance(value, str) else str(value)
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return text if len(text) <= 72 else text[:71] + "…"


def print_row(row):
    name, client, what, expected, got, ok = row
    print(f"{name:30} {client:12} {what:20} {cell(expected):32} {cell(got):32} {'ok' if ok else 'FAILED'}", flush=True)
