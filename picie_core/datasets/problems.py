"""What can be wrong with data, and how a person is told."""

from collections.abc import Sequence
from typing import NamedTuple

from picie_core.errors import WorkbookError

SHOWN = 5
"""How many problems a message names before it only counts them."""

REPAIR = (
    'Repair or remove them, or leave them out with on_bad_image="skip" (-p on_bad_image=skip): the manifest '
    "then lists them."
)
"""What to do about images that cannot be prepared."""


class Problem(NamedTuple):
    """One file that cannot be used, and why."""

    file: str
    reason: str


class DataError(WorkbookError, ValueError):
    """Data that are missing, wrong or do not fit; the message says what was expected, what came, and what to do."""


class Unlabelled(DataError):
    """A set without labels that is asked for what only labels can tell."""

    def __init__(self, where: object, why: str) -> None:
        super().__init__(
            f"{where} has no labels: {why}. Give a data set with labels (data/README.md says where they lie), or look "
            "at the clusters alone with `picie segment`"
        )


class AllVoid(DataError):
    """Labels of which every pixel is void."""

    def __init__(self, where: str, labels: int) -> None:
        super().__init__(
            f"{where}: every pixel of its {labels} labels is void, which leaves nothing to learn or to score: look at "
            "the ids in the label files (data/README.md says which are classes), or give more of its images or another "
            "split. Without label files a split is clustered, and has no scores"
        )


class BadImages(DataError):
    """Images or labels that cannot be used.

    Attributes:
        problems: every one that was found.
        looked_at: how many images or labels were looked at.
    """

    def __init__(
        self,
        where: str,
        problems: Sequence[Problem],
        looked_at: int,
        *,
        stopped: bool = False,
        advice: str = REPAIR,
    ) -> None:
        self.problems, self.looked_at = list(problems), looked_at
        shown = [f"  {p.file}: {p.reason}" for p in problems[:SHOWN]]
        more = len(problems) - len(shown)
        if stopped:
            shown.append(f"  and at least {more} more: stopped looking after {len(problems)}")
        elif more:
            shown.append(f"  and {more} more")
        super().__init__(
            f"{where}: {'at least ' if stopped else ''}{len(problems)} of {looked_at} cannot be used\n"
            + "\n".join(shown)
            + f"\n{advice}"
        )


class Unusable(Exception):
    """Raised while one image is read: what is wrong with it or with its label."""

    def __init__(self, reason: str, file: str | None = None) -> None:
        self.reason, self.file = reason, file
        super().__init__(reason)
