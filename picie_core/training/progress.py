"""One line of progress, in a terminal, in JupyterLab and under papermill."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

if TYPE_CHECKING:
    from IPython.display import DisplayHandle


class Progress:
    """A bar in a terminal; in a notebook one line that is updated in place.

    A notebook's line is an updated display, not a widget: it is there when the notebook is opened again or was executed
    by papermill, and it tells papermill that the cell is alive.
    """

    def __init__(self, total: int, title: str, silent: bool = False) -> None:
        self.total, self.title = total, title
        self.done, self.started, self.shown = 0, time.monotonic(), 0.0
        self.phase = ""
        self._display = None if silent else _notebook_display()
        self._bar = None
        if self._display is None:
            slow = not sys.stderr.isatty()  # in a log, a line every so often is enough
            self._bar = tqdm(
                disable=silent,
                total=total,
                desc=title,
                unit="img",
                mininterval=15 if slow else 0.2,
                dynamic_ncols=not slow,
                leave=not slow,
            )

    def say(self, phase: str) -> None:
        """What is being done now."""
        self.phase = phase
        if self._bar is not None:
            self._bar.set_postfix_str(phase, refresh=False)

    def tick(self, n: int) -> None:
        """So many more are done."""
        self.done += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self.shown > 1:
            self._show()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._show(final=True)

    def _show(self, final: bool = False) -> None:
        seconds = time.monotonic() - self.started
        share = self.done / max(self.total, 1)
        left = "" if final else f", {seconds / max(share, 1e-9) * (1 - share):.0f} s left"
        text = f"{self.title}: {100 * share:3.0f} % {self.phase} ({seconds:.0f} s{left})"
        if self._display is not None:
            self._display.update({"text/plain": text}, raw=True)
        self.shown = time.monotonic()


def _notebook_display() -> "DisplayHandle | None":
    """A display handle when this runs in a Jupyter kernel, else None."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    return display({"text/plain": ""}, raw=True, display_id=True)
