"""From generated outputs to committed ones: tables and curves go, pictures of photographs stay."""

import shutil
from pathlib import Path

from picie_core import figures, places
from picie_core.datasets.rendered import SCENES_A, SCENES_B

SHOWABLE = (figures.NO_IMAGES, SCENES_A.name, SCENES_B.name)
"""What a committed figure may show: no images, or embedded scenes."""


class PublishError(ValueError):
    """Something that may not be published; nothing has been copied."""


def local_folder(dataset: str) -> Path:
    """Where notebooks write the outputs on a data set: `reports/local/<dataset>/`, with `figures` and `tables`."""
    return places.reports_folder() / "local" / dataset


def publish(dataset: str, names: list[str] | None = None) -> list[Path]:
    """Copy generated outputs into the committed `reports/figures` and `reports/tables`, as `<dataset>-<name>`.

    Args:
        dataset: whose outputs.
        names: file names without ending; None: every table, and every figure that shows no photograph.

    Returns:
        The files written.

    Raises:
        PublishError: there is nothing, a named output does not exist, or a named figure shows images of any data but
            scenes.
    """
    source = local_folder(dataset)
    files = sorted([*(source / "tables").glob("*.csv"), *(source / "figures").glob("*.png")])
    if not files:
        raise PublishError(f"nothing to publish in {source}: execute a notebook on {dataset} first")
    if names is None:
        chosen = [file for file in files if _may(file)]
    else:
        missing = [name for name in names if name not in {file.stem for file in files}]
        if missing:
            raise PublishError(
                f"no output is called {', '.join(missing)} in {source}; there are: {', '.join(f.stem for f in files)}"
            )
        chosen = [file for file in files if file.stem in names]
        refused = [file for file in chosen if not _may(file)]
        if refused:
            raise PublishError(
                "these figures show images of data that are not ours to publish: "
                + ", ".join(f"{file.name} (shows {figures.shows(file)})" for file in refused)
            )
    written = []
    for file in chosen:
        target = places.reports_folder() / file.parent.name / f"{dataset}-{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        written.append(Path(shutil.copyfile(file, target)))
    return written


def _may(file: Path) -> bool:
    return file.suffix == ".csv" or figures.shows(file) in SHOWABLE
