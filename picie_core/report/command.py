"""`picie report`: the page of one data set's outputs, or of all that is committed."""

from typing import Annotated

import typer


def report(
    dataset: Annotated[str, typer.Argument(help="Whose outputs below reports/local/.")] = "scenes",
    committed: Annotated[
        bool, typer.Option("--committed", help="Of the committed reports/ instead, into reports/site/, to be uploaded.")
    ] = False,
) -> None:
    """Write one page: every table, every figure, and their runs.

    \b
    picie report                 reports/local/scenes/index.html, and the same as index.md
    picie report camvid
    picie report folder-photos-1f3a      a folder of images, by the name that its outputs have
    picie report --committed     reports/site/ with all that its page needs (`make site`)
    """
    from picie_core import places
    from picie_core.datasets import registry
    from picie_core.report import folder

    registry.find(places.dataset_of(dataset))  # a slip of the pen is answered with the nearest name
    typer.echo(f"report: {folder.committed() if committed else folder.local(dataset)}")
