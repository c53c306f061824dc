"""From generated outputs to committed ones: tables and curves go, pictures of photographs stay."""

from pathlib import Path

from picie_core import figures, files, places
from picie_core.datasets import closeups
from picie_core.datasets.rendered import SCENES_A, SCENES_B
from picie_core.errors import WorkbookError
from picie_core.report import outputs, page
from picie_core.tables import lists

SHOWABLE = (figures.NO_IMAGES, SCENES_A.name, SCENES_B.name, closeups.DATASET.name)
"""What a committed figure may show: no images, or embedded scenes."""


class PublishError(WorkbookError, ValueError):
    """Something that may not be published; nothing has been copied."""


def publish(dataset: str, names: list[str] | None = None) -> list[Path]:
    """Copy generated outputs into the committed `reports/figures` and `reports/tables`, as `<dataset>-<name>`.

    The list of runs is not copied over the committed one but added to it (`lists.add`): runs of other machines, and
    of earlier calls, stay in it.

    Args:
        dataset: whose outputs, by `places.data_name`.
        names: file names without ending; None: all but those `withheld`.

    Returns:
        The files written.

    Raises:
        PublishError: they are of a folder of images; there is nothing to publish, a named output does not exist, or a
            named figure shows images of any data but scenes.
        ListError: one of the two lists of runs is none.
    """
    source = places.local_folder(dataset)
    if places.dataset_of(dataset) != dataset:
        raise PublishError(f"committed reports are of data that others have too; what was made of yours is in {source}")
    made = outputs.generated(source)
    if not made:
        there = outputs.elsewhere(source)
        raise PublishError(f"nothing to publish in {source}: execute a notebook on {dataset} first ({there})")
    if names is None:
        left = dict(withheld(dataset))
        chosen = [file for file in made if file not in left]
        if not chosen:
            (file, why), *others = left.items()
            more = f"; and {len(others)} more" if others else ""
            raise PublishError(f"nothing in {source} is published: {file.name} {why}{more}")
    else:
        missing = [name for name in names if name not in {file.stem for file in made}]
        if missing:
            raise PublishError(
                f"no output is called {', '.join(missing)} in {source}; there are: {', '.join(f.stem for f in made)}"
            )
        chosen = [file for file in made if file.stem in names]
        refused = [file for file in chosen if not _may(file)]
        if refused:
            raise PublishError(
                "these figures show images of data that are not ours to publish: "
                + ", ".join(f"{file.name} (shows {figures.shows(file)})" for file in refused)
            )
    targets = {file: _target(dataset, file) for file in chosen}
    contents = {target: file.read_bytes() for file, target in targets.items() if file.name != outputs.RUNS}
    for file in targets.keys() & {file for file in chosen if file.name == outputs.RUNS}:
        lists.add(lists.listed(file), targets[file])  # first, for it may be refused
    for target, content in contents.items():
        files.write(target, content)
    return list(targets.values())


def withheld(dataset: str) -> list[tuple[Path, str]]:
    """The generated outputs that `publish` leaves out where none are named, each with why: a figure shows images that
    are not ours; a table lacks runs that the committed one of its name is of, as that of a small run does."""
    made = outputs.generated(places.local_folder(dataset))
    return [(file, why) for file in made if (why := _foreign(file) or _poorer(dataset, file))]


def _foreign(file: Path) -> str:
    return "" if _may(file) else f"shows images of {figures.shows(file)}"


def _poorer(dataset: str, file: Path) -> str:
    committed = page.runs_of(target := _target(dataset, file))
    lacking = committed - page.runs_of(file)
    if not lacking:
        return ""
    return (
        f"lacks {len(lacking)} of the {len(committed)} runs that the committed {target.name} is of: to publish it in "
        f"its place, `picie publish {dataset} {file.stem}`"
    )


def _target(dataset: str, file: Path) -> Path:
    return places.reports_folder() / file.parent.name / f"{dataset}-{file.name}"


def _may(file: Path) -> bool:
    return file.suffix == ".csv" or figures.shows(file) in SHOWABLE
