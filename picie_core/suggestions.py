"""What a person may have meant."""

import difflib
from collections.abc import Iterable


def guess(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to a mistyped one, in whatever case; None where none is near."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return lower[close[0]] if close else None


def nearest(word: str, known: Iterable[str]) -> str:
    """For an error message: `did you mean 'camvid'? Known: scenes, camvid, ...`; names with commas stand in quotes."""
    known = list(known)
    meant = guess(word, known)
    shown = map(repr, known) if any("," in name for name in known) else known
    return (f"did you mean {meant!r}? " if meant else "") + f"Known: {', '.join(shown)}"
