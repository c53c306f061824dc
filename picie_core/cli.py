"""The `picie` command. `picie COMMAND --help` teaches each by example."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from picie_core import options, places
from picie_core.benchmark.command import bench
from picie_core.errors import WorkbookError
from picie_core.grid import command
from picie_core.options import Parameters, RefusedError
from picie_core.report.command import report
from picie_core.segmentation.command import segment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Unsupervised semantic segmentation: the PiCIE workbook.\n\n"
    "Notebooks are run with `picie run`, your own photographs are segmented with `picie segment`.",
)

Root = Annotated[Path | None, typer.Option(help="The data set's folder (scenes need none).")]


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="scenes, camvid, coco27, cityscapes27, voc21, folder, ...")],
    root: Root = None,
    parameter: Parameters = None,
    verify: Annotated[bool, typer.Option(help="Read the arrays again and compare them with their checksums.")] = False,
) -> None:
    """Decode, check and cache a data set; runs do this by themselves. Settings are those of the runs.

    \b
    picie prepare camvid --root ~/data/CamVid
    picie prepare coco27 --root ~/data/coco -p recipe=paper -p scale=full
    picie prepare coco_stuff15 --root ~/data/coco -p train_split=trainval -p scored_split=trainval
    picie prepare folder --root ~/Pictures -p on_bad_image=skip
    """
    from picie_core.settings import Settings
    from picie_core.training import splits

    given, named = options.settings(parameter), {"dataset": name} | ({} if root is None else {"data_root": root})
    if twice := sorted(given.keys() & named.keys()):
        raise RefusedError(f"-p {twice[0]}: NAME is the data set and --root its folder; give each once")
    settings = Settings(**given, **named)
    for split, data in zip((settings.learned_split, settings.scored_split), splits(settings), strict=True):
        labels = "no labels" if data.labels is None else f"{len(data.classes.names)} classes"  # type: ignore[union-attr]
        if verify:
            data.verify()
        typer.echo(f"{split}: {len(data)} images of {data.images.shape[1]} pixels, {labels}: {data.folder}")


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="A path, or a name or number below notebooks/: 03, picie, 03_picie.")],
    parameter: Parameters = None,
    output: Annotated[Path | None, typer.Option(help="The executed notebook; default below reports/local/.")] = None,
) -> None:
    """Execute a notebook with papermill. Names and values are checked before it starts.

    \b
    picie run 03                                          on the embedded scenes
    picie run 03 -p overrides={} -p dataset=camvid -p data_root=~/data/CamVid -p pretrained=false
    picie run 03 -p num_overclusters=100 -p seed=2        PiCIE+H
    picie run 00 -p method=untrained -p epochs=4          the rest of the notebook's overrides stay
    picie run 00 -p method=untrained -p overrides={}      none of them does
    """
    from picie_core import execution, parameters

    file = execution.find(notebook)
    given = dict(options.pair(text) for text in parameter or [])
    injected = parameters.route(file, given)
    overrides = injected.get("overrides", {})
    stay = {} if "overrides" in given else {name: v for name, v in overrides.items() if name not in given}
    if stay:
        typer.echo(
            f"{file.stem} keeps its own {', '.join(f'{name}={v}' for name, v in stay.items())} "
            "(-p NAME=VALUE changes one, -p overrides={} drops them)",
            err=True,
        )
    if (root := injected.get("data_root")) and not Path(root).is_dir():
        raise RefusedError(f"data_root = {root}: there is no such folder")
    folder = execution.folder_of(file, injected)
    target = output or folder / "notebooks" / file.name
    again = "without fresh=true the same command" if overrides.get("fresh") else "the same command"
    with options.ended_in_order(f"stopped: each run keeps what its last epoch made; {again} goes on"):
        typer.echo(f"executed notebook: {execution.execute(file, given, target)}")
    if any(folder.glob("figures/*")) or any(folder.glob("tables/*")):
        typer.echo(f"figures and tables on this data: {folder}; on one page: picie report {shlex.quote(folder.name)}")
    typer.echo(execution.last_words(target))


app.command()(command.grid)
app.command()(report)
app.command()(bench)
app.command()(segment)


@app.command()
def train(file: Annotated[Path, typer.Argument(help="The settings.yaml of a run.")]) -> None:
    """Make the run of a settings file, without a notebook.

    \b
    picie train reports/runs/camvid-picie-0123456789abcdef/settings.yaml

    A run of several devices does it in each of its processes. On several machines torchrun starts them, once on each:

    \b
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m picie_core train settings.yaml                          a file with devices: 16

    Data and the folder of runs must be the same on all of them.
    """
    from torch.distributed.elastic.multiprocessing.errors import record

    @record  # so that torchrun knows the reason
    def make() -> None:
        from picie_core import devices, training
        from picie_core.settings import Settings

        settings = Settings.from_yaml(file.read_bytes())
        devices.make_fabric(settings)  # here torchrun's processes find each other
        training.run(settings)

    make()


@app.command()
def demo(
    workers: Annotated[
        int | None, typer.Option(min=1, help="Notebooks at a time; default: 2, or 1 where there is one core.")
    ] = None,
) -> None:
    """Execute the numbered notebooks on the embedded scenes. Ends with the results and a report of all of them.

    \b
    picie demo                  6 to 22 minutes on 2 cores, no data, no GPU
    picie demo --workers 1      one notebook after the other: less memory, more time
    """
    from picie_core import demo, execution, files, parameters, records, tables
    from picie_core.report import folder as report_folder
    from picie_core.report import outputs
    from picie_core.tables import lists

    with options.ended_in_order():
        folders = demo.execute(workers)
    main = parameters.settings_of(parameters.of(execution.find(demo.MAIN)))
    table = tables.over_seeds(tables.of_settings(tables.results(), main))
    typer.echo(f"\n{tables.as_text(table)}(the runs of {demo.MAIN}; `picie results` has all)")
    for dataset, folder in folders.items():
        runs = [run for run in records.finished(places.runs_root()) if run.data_name == dataset]
        files.write(folder / "tables" / outputs.RUNS, lists.every_run(runs).to_csv(index=False))
        typer.echo(f"{dataset}, notebooks, figures and tables: {folder}\nreport: {report_folder.local(dataset)}")


@app.command()
def results(
    parameter: Parameters = None,
    out: Annotated[Path | None, typer.Option(help="Add a row for every run, with its command, to this CSV.")] = None,
    of: Annotated[Path | None, typer.Option(help="A CSV that --out wrote: of its runs, not of those here.")] = None,
) -> None:
    """Show what finished runs scored: mean and spread over seeds.

    \b
    picie results
    picie results -p dataset=camvid -p epochs=4 --out camvid.csv
    picie results --of reports/tables/camvid-runs.csv -p recipe=paper -p epochs=4
    """
    from picie_core import places, records, tables
    from picie_core.tables import lists

    asked = options.matches(parameter)
    runs = [] if of else [run for run in records.finished(places.runs_root()) if asked(run.settings)]
    every = lists.where(lists.listed(of.expanduser()), asked) if of else lists.every_run(runs)
    rows = lists.tidy(every) if of else records.tidy(runs)
    if every.empty:
        place = f"in {of}" if of else f"below {places.runs_root()}"
        raise RefusedError(f"no finished run {place} {'has ' + ', '.join(parameter) if parameter else 'yet'}")
    bare = every[every["mIoU"].isna()]
    if len(bare):
        sets = ", ".join(sorted(set(bare["dataset"])))
        note = f"{len(bare)} of {len(every)} runs ({sets}) have no score, for their data have no labels"
        if len(bare) == len(every) and not out:
            learned = [run for run in runs if not run.progress.empty] or runs  # what has no epochs is a baseline
            names = " or ".join(run.folder.name for run in learned[-3:])
            look = f", or look at the clusters with `picie segment RUN`, RUN being {names}" if runs else ""
            raise RefusedError(f"{note}: put labels beside the images (data/README.md){look}")
        typer.echo(note, err=True)
    typer.echo(tables.as_text(tables.over_seeds(rows)))
    if out:
        lists.add(every, out.expanduser())
        typer.echo(f"every run: {out}")


@app.command()
def bands() -> None:
    """Measure the bands that notebooks hold their numbers to.

    They are where one more seed of the runs of `picie grid bands` would lie.

    \b
    picie grid bands --workers 2 -p threads=1
    picie bands                                writes notebooks/bands.csv
    """
    from picie_core import files, places, records
    from picie_core.grid import plan
    from picie_core.settings import Settings
    from picie_core.tables import bands as measuring

    wanted = {records.digest(Settings(**row.settings)): row.name for row in plan.read(plan.find("bands")).rows}
    runs = [run for run in records.finished(places.runs_root()) if records.digest(run.settings) in wanted]
    table = measuring.measured(runs)
    if missing := [name for digest, name in wanted.items() if digest not in set(table["digest"])]:
        raise RefusedError(
            f"fewer than {measuring.FEWEST} seeds of {', '.join(missing)} below {places.runs_root()}: run "
            "`picie grid bands` first"
        )
    files.write(measuring.file(), table.to_csv(index=False, float_format="%.6g"))
    typer.echo(table.drop(columns=["digest", "dataset"]).round(3).to_string(index=False))
    typer.echo(f"bands: {measuring.file()}")


@app.command()
def publish(
    dataset: Annotated[str, typer.Argument(help="Whose outputs below reports/local/.")],
    name: Annotated[list[str] | None, typer.Argument(help="Which; default: all but those left out.")] = None,
) -> None:
    """Copy tables and figures into the committed reports/.

    Pictures of photographs are left out, and refused by name. A table that lacks runs of the committed one, as that of
    a small run does, is left out too, and takes its place by name.

    \b
    picie publish camvid
    picie publish scenes picie-scores
    """
    from picie_core.report import publishing

    for file in publishing.publish(dataset, name or None):
        typer.echo(str(file))
    if not name:
        for file, why in publishing.withheld(dataset):
            typer.echo(f"left out: {file.name} {why}", err=True)


@app.command()
def settings(parameter: Parameters = None) -> None:
    """Show every setting: value, where it comes from, meaning.

    \b
    picie settings
    picie settings -p recipe=release -p dataset=camvid
    """
    from picie_core.settings import Settings

    chosen = Settings(**options.settings(parameter))
    for name, value in chosen.values().items():
        meaning = Settings.model_fields[name].description
        typer.echo(f"{name:24} {value!s:14} {chosen.sources[name]:16} {meaning}")


@app.command()
def doctor() -> None:
    """Show versions, devices, places, and which data sets are there.

    \b
    picie doctor
    """
    from picie_core import diagnosis

    typer.echo(diagnosis.report())


def main() -> None:
    """The command, with errors as messages: a person's mistake is not a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for talkative in ("papermill", "faiss", "lightning_fabric", "timm"):  # hidden files, libraries not found, banners
        logging.getLogger(talkative).setLevel(logging.WARNING)
    try:
        app()
    except ModuleNotFoundError as error:
        if (error.name or "picie_core").startswith("picie_core"):
            raise
        typer.echo(
            f"picie: this Python has no module {error.name}: `make setup` makes one that has, or "
            "`pip install -e '.[cpu]'` (or gpu) installs all that is needed",
            err=True,
        )
        raise SystemExit(2) from error
    except (WorkbookError, OSError) as error:  # OSError: no such file, a full disk; the message names it
        typer.echo(f"picie: {error}", err=True)
        raise SystemExit(2) from error
