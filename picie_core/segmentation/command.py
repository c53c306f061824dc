"""`picie segment`: photographs, segmented with a trained run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from picie_core import options, places
from picie_core.options import RefusedError


def segment(
    run: Annotated[Path, typer.Argument(help="A finished run: its folder, or the folder's name below reports/runs/.")],
    images: Annotated[Path, typer.Option(help="A folder of images, searched with its sub-folders, or one image.")],
    out: Annotated[Path, typer.Option(help="Where to write.")],
    names: Annotated[
        Path | None, typer.Option(help="CSV with the columns cluster, name (an edited clusters.csv).")
    ] = None,
) -> None:
    """Segment photographs with a trained run. Writes index.html, a page to look at, cluster maps, overlays and
    clusters.csv.

    Train the run on photographs like them first; look at the page, then give the clusters names in a copy of
    clusters.csv and pass it on.

    \b
    picie run 00 -p dataset=folder -p data_root=~/Pictures -p overrides={}
    picie segment folder-picie-0123456789abcdef --images ~/Pictures --out ~/segments
    picie segment folder-picie-0123456789abcdef --images ~/Pictures --out ~/segments --names names.csv

    Names hold for the run whose page they were read off. The same --out again keeps the names that its table has.
    """
    from tqdm import tqdm

    from picie_core import records
    from picie_core.datasets import BadImages
    from picie_core.segmentation import album, legend

    root = places.runs_root()
    meant = (root / run, run.expanduser())
    folder = next((f for f in meant if records.is_done(f)), None)
    if folder is None and (begun := next((f for f in meant if (f / "settings.yaml").is_file()), None)):
        raise RefusedError(f"the run in {begun} is not finished: the command that began it goes on with it")
    if folder is None:
        there = ", ".join(file.parent.name for file in sorted(root.glob("*/result.json"))[:8])
        such = f", such as {there}" if there else "; there is none"
        raise RefusedError(f"no finished run {run}: give its folder, or its name below {root}{such}")
    folder = folder.resolve()  # a link, or `.`, has another name than the run
    given = legend.read_names(names.expanduser(), folder.name) if names else None
    target = out.expanduser()
    stopped = "stopped: the maps so far stay; the page and the table are written at the end, by the same command"
    try:
        with options.ended_in_order(stopped), tqdm(desc="segment", unit="img", disable=not sys.stderr.isatty()) as bar:

            def tick(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            album.segment(records.load(folder), images.expanduser(), target, given, tick)
    except BadImages as error:
        if len(error.problems) < error.looked_at:
            _tell(target)
        raise
    _tell(target)


def _tell(out: Path) -> None:
    from picie_core.segmentation import album

    typer.echo((out / album.TABLE).read_text(encoding="utf-8").rstrip())
    typer.echo(f"written to {out}; to look at it, open {out / album.PAGE}")
