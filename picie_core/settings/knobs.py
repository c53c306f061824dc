"""What a setting is made of: a field with its meaning, its bounds and its place in a run's key, and how it refuses."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo

from picie_core import suggestions
from picie_core.errors import WorkbookError


class SettingsError(WorkbookError, ValueError):
    """A setting that does not exist or a value that is not allowed; the message says what is."""


def knob(default: Any, meaning: str, *, place: bool = False, before: Any = ..., **bounds: Any) -> Any:
    """A field of `Settings`.

    Args:
        default: value when neither the caller nor `recipes` gives one.
        meaning: one line: what it is, its unit, its source.
        place: true for what says where or how a run is executed and cannot change its result, and for what the
            fingerprint of the data stands for: recorded, not hashed.
        before: for a field added later, what older runs had in effect (as in JSON): left out of the key at that value.
        bounds: pydantic's (`gt`, `ge`, `lt`, `le`, `multiple_of`, `pattern`).
    """
    record = {"place": place} | ({} if before is ... else {"before": before})
    return Field(default=default, description=meaning, json_schema_extra=record, **bounds)


def extra(field: FieldInfo) -> dict[str, Any]:
    """What `knob` noted of a field beside pydantic's own: `place`, and `before` where it has one."""
    record = field.json_schema_extra
    return record if isinstance(record, dict) else {}


def unknown(name: str, known: Iterable[str]) -> str:
    """The message for a setting that does not exist."""
    meant = suggestions.guess(name, known)
    return f"no setting is called {name!r}: {f'did you mean {meant!r}?' if meant else 'see `picie settings`'}"


def wrong(name: str, field: FieldInfo, error: Any, source: str) -> str:
    """The message for a value that is not allowed: what came and from where, what was expected, what the setting is."""
    came = f"{error['input']!r}" + ("" if source == "explicit" else f" (from {source})")
    reason = error["msg"][0].lower() + error["msg"][1:]
    return f"{name} = {came}: {reason}. Expected {_expected(field)}: {field.description}"


def _expected(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}
    kind = getattr(field.annotation, "__name__", None) or str(field.annotation)
    literal = kind.startswith("Literal")
    kind = " or ".join(repr(v) for v in field.annotation.__args__) if literal else kind  # type: ignore[union-attr]
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    return " ".join([kind, ", ".join(bounds)]).strip()
