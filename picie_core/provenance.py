"""Which runs stand behind a number, in a word that a table can carry, and which commit the code is of.

A run is told by its configuration and its seed: the digest of its settings (`records.digest`) and a number. The rows of
every table that is made of runs have them in the column `runs`, as `digest:seed,seed digest:seed`.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

COLUMN = "runs"
"""What tables call it."""


def behind(runs: Iterable[tuple[str, int]]) -> str:
    """Runs as (digest, seed), in any order and any number of times -> `3f0c9a…:1,2 77ab…:1`; of none the empty string.

    Digests stand in the order in which they come first, seeds ascending.
    """
    seeds: dict[str, set[int]] = {}
    for digest, seed in runs:
        seeds.setdefault(digest, set()).add(int(seed))
    return " ".join(f"{digest}:{','.join(map(str, sorted(found)))}" for digest, found in seeds.items())


def read(text: str) -> list[tuple[str, int]]:
    """What `behind` has written, as (digest, seed).

    Raises:
        ValueError: the text is of another form.
    """
    found = []
    for part in text.split():
        digest, sign, numbers = part.partition(":")
        try:
            found += [(digest, int(number)) for number in numbers.split(",")]
        except ValueError:
            sign = ""
        if not sign or not digest:
            raise ValueError(f"{text!r} names no runs: expected `digest:seed,seed`, several with a space between")
    return found


def commit() -> str | None:
    """The commit of the source tree, with `+` when the package has changes; None outside of a repository."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
