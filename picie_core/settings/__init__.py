"""`Settings`: every knob of a run, validated and frozen.

Names are flat, so that each is a papermill parameter and a command-line option. Where a value was not given it comes
from the tables of `recipes`; `Settings.sources` says from which. What each is stands in `fields`.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self, cast, get_args

import yaml
from pydantic import ConfigDict, PrivateAttr, TypeAdapter, ValidationError

from picie_core import suggestions
from picie_core.settings import combinations, document, knobs, recipes
from picie_core.settings.fields import Fields
from picie_core.settings.knobs import SettingsError
from picie_core.settings.methods import BACKBONES, METHODS, OBJECTS, STUDENT, TAUGHT, WITHOUT_EPOCHS

__all__ = ["METHODS", "TAUGHT", "Settings", "SettingsError", "parse", "text"]


class Settings(Fields):
    """Every knob of a run. `Settings(method="picie", dataset="camvid", seed=3)`; the rest is filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        fields = type(self).model_fields
        unknown = [name for name in values if name not in fields]
        if unknown:
            raise SettingsError("\n".join(knobs.unknown(name, fields) for name in unknown))
        for name, value in values.items():
            _check_name(name, value)
        merged, sources = recipes.resolve(values, {name: field.default for name, field in fields.items()})
        try:
            super().__init__(**merged)
        except ValidationError as error:
            lines = [knobs.wrong(name := str(e["loc"][0]), fields[name], e, sources[name]) for e in error.errors()]
            raise SettingsError("\n".join(lines)) from None
        self._sources = sources
        if problems := combinations.problems(self):
            raise SettingsError("\n".join(problems))
        _ = self.previous  # whose settings may be refused too

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: `explicit`, `method iic`, `dataset camvid`, `recipe paper`, `scale small`
        or `default`."""
        return dict(self._sources)

    @property
    def explicit(self) -> dict[str, Any]:
        """The values that the caller gave, by name."""
        return {name: getattr(self, name) for name, source in self._sources.items() if source == "explicit"}

    def replace(self, **changes: Any) -> Self:
        """The same explicit values with some changed; what follows from them is resolved anew."""
        return type(self)(**(self.explicit | changes))

    @property
    def previous(self) -> Self | None:
        """The settings of the run that this one starts from, None where it starts from nothing: of a probe, a
        re-training or pseudo-masks that of the method `pretext`; of a self-training that of the iteration before, of
        the first that of the pseudo-masks."""
        if self.method == "comus" and self.comus_iterations > 1:
            return self._with("comus", ("fresh",), comus_iterations=self.comus_iterations - 1)
        if self.method == "comus":
            return self._with("pseudomasks", ("fresh", "comus_iterations", *STUDENT), pretext=self.pretext)
        if self.pretext in ("none", "dino", "hog"):
            return None
        of_objects = ("num_clusters",) if self.method == "pseudomasks" else ()
        mine = [name for name in type(self).model_fields if name.startswith(("transfer_", "comus_"))]
        return self._with(self.pretext, ("pretext", "fresh", *of_objects, *mine))

    @property
    def earlier(self) -> tuple[Self, ...]:
        """The settings of the runs that this one starts from: `previous`, that one's, and so on."""
        return (self.previous, *self.previous.earlier) if self.previous else ()

    def _with(self, method: str, dropped: Collection[str], **changes: Any) -> Self:
        """The same explicit values for another method, but for those that are its own affair."""
        kept = {name: value for name, value in self.explicit.items() if name not in dropped}
        return type(self)(**(kept | {"method": method} | changes))

    @property
    def learned_split(self) -> str:
        """The split of the data set that is learned from: `train_split`, but for later self-trainings on `trainaug`."""
        later = self.method == "comus" and self.comus_iterations > 1 and self.comus_later_split != "train"
        return self.comus_later_split if later else self.train_split

    @property
    def predicted_clusters(self) -> int:
        """K, and one more for the background where objects alone are clustered."""
        return self.num_clusters + (self.method in OBJECTS)

    @property
    def background(self) -> int | None:
        """The cluster of all that is no object, 0; None where every pixel is clustered."""
        return 0 if self.method in OBJECTS else None

    @property
    def learned_clusters(self) -> int:
        """How many PiCIE (beside its overclusters) and DeepCluster cluster into while they learn."""
        return self.training_clusters or self.num_clusters

    @property
    def own_epochs(self) -> int:
        """Of the run's own training, not of those it starts from; 0 of a method without."""
        if self.method in WITHOUT_EPOCHS:
            return 0
        if self.method == "comus":
            return self.comus_epochs if self.comus_iterations == 1 else self.comus_later_epochs
        return self.transfer_epochs if self.method in ("probe", "retraining") else self.epochs

    def values(self) -> dict[str, Any]:
        """Every value as plain YAML and JSON know it (paths as strings), in the order of the fields."""
        return self.model_dump(mode="json")

    def without(self, names: Collection[str]) -> dict[str, Any]:
        """`values` but for these names, and for what has the value that runs had before the field was there: so that
        what is made of it (`key`, `records.digest`) stays the same when a field is added."""
        extras = {name: knobs.extra(field) for name, field in type(self).model_fields.items()}
        return {k: v for k, v in self.values().items() if k not in names and extras[k].get("before", ...) != v}

    def key(self, results_version: int, fingerprint: str) -> str:
        """The run's key: 16 hexadecimal digits that change when, and only when, the result may.

        The digest holds the resolved settings that affect the result (precision and threads included; places are
        left out), the method's `results_version` and the fingerprint of the prepared data. The names `recipe`,
        `scale` and `dataset` stand for values that are hashed themselves.
        """
        places = {name for name, field in type(self).model_fields.items() if knobs.extra(field)["place"]}
        record = {"settings": self.without(places), "results_version": results_version, "data": fingerprint}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        """`settings.yaml` of a run folder: values and their sources."""
        return yaml.safe_dump({"settings": self.values(), "sources": dict(self._sources)}, sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str | bytes) -> Self:
        """What `to_yaml` wrote (bytes: in UTF-8), value by value, nothing resolved anew; a field added since has its
        `before`. A value that the tables of today would not give (they have changed, or the file was edited) counts as
        explicit.

        Raises:
            SettingsError: the text is something else.
        """
        try:
            record = document.load(text)
        except yaml.YAMLError as error:
            raise SettingsError(f"this is no settings file of a run: {error}") from error
        if not isinstance(record, dict) or not all(isinstance(record.get(p), dict) for p in ("settings", "sources")):
            raise SettingsError("this is no settings file of a run: expected settings.yaml of a run folder")
        older = {name: extra["before"] for name, f in cls.model_fields.items() if "before" in (extra := knobs.extra(f))}
        settings = cls(**(older | record["settings"]))
        settings._sources = dict.fromkeys(older, "before") | record["sources"]
        today, _ = recipes.resolve(settings.explicit, {name: field.default for name, field in cls.model_fields.items()})
        settings._sources |= {name: "explicit" for name, value in today.items() if getattr(settings, name) != value}
        return settings


def text(value: Any) -> str:
    """A setting's value as a command line has it: what `parse` reads."""
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def parse(name: str, text: str) -> Any:
    """A command line's text as the setting's type: `parse("learning_rate", "1e-3") == 0.001`.

    Raises:
        SettingsError: no such setting, or no such value.
    """
    if name not in Settings.model_fields:
        raise SettingsError(knobs.unknown(name, Settings.model_fields))
    field = Settings.model_fields[name]
    nothing = text.strip().lower() in ("none", "null", "") and type(None) in get_args(field.annotation)
    try:
        kind: Any = cast(Any, Annotated)[field.annotation, field]
        value = TypeAdapter(kind).validate_python(None if nothing else text.strip())
    except ValidationError as error:
        raise SettingsError("\n".join(knobs.wrong(name, field, e, "explicit") for e in error.errors())) from None
    _check_name(name, value)
    return value


def _check_name(name: str, value: Any) -> None:
    """Raise a `SettingsError` for a data set, a method or a backbone that there is not."""
    known = {"dataset": recipes.DATASETS, "method": METHODS, "backbone": BACKBONES}.get(name)
    of_timm = name == "backbone" and str(value).startswith("timm/")  # `network.zoo` says whether timm has it
    if known is not None and str(value) not in known and not of_timm:
        also = f"; if it is one of timm's, give 'timm/{value}'" if name == "backbone" else ""
        raise SettingsError(f"{name} = {str(value)!r}: {suggestions.nearest(str(value), known)}{also}")
