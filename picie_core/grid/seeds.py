"""The seeds of a notebook's parameter, see `settings.seeds`."""

from picie_core.settings.seeds import numbers

__all__ = ["numbers"]
