"""What a person may have meant."""

import difflib
from collections.abc import Iterable


def guess(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to a mistyped one; None where none is near."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def nearest(word: str, known: Iterable[str]) -> str:
    """For an error message: `did you mean 'camvid'? Known: scenes, camvid, ...`."""
    known = list(known)
    meant = guess(word, known)
    return (f"did you mean {meant!r}? " if meant else "") + f"Known: {', '.join(known)}"
