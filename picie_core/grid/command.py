"""`picie grid`: what was asked for on the command line, and what is said about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from picie_core import options
from picie_core.options import Parameters, RefusedError

if TYPE_CHECKING:
    from picie_core.grid.job import Failure
    from picie_core.grid.plan import Job


def grid(
    file: Annotated[str, typer.Argument(help="A grid file, or the name of one below notebooks/grids/.")],
    parameter: Parameters = None,
    seeds: Annotated[str | None, typer.Option(help="In place of the file's: 1-10, or 1,2,5.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ROW", help="This row alone; repeatable.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; default: cores / threads, or one a GPU.")
    ] = None,
    gpus: Annotated[str | None, typer.Option(help="Graphics cards to share out among the workers: 0,1.")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Run on this dask scheduler.")] = None,
    slurm: Annotated[
        Path | None, typer.Option(help="Run on Slurm: YAML with the arguments of dask_jobqueue.SLURMCluster, and jobs.")
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Show what is done, running, failed, waiting (prepares data).")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show every run and its settings; start none (prepares data).")
    ] = False,
) -> None:
    """Run every row and seed of a grid file. What is done is not run again.

    \b
    picie grid recipes -p dataset=camvid -p data_root=~/data/CamVid -p pretrained=false --seeds 1-10
    picie grid table5 --dry-run                    every run with its settings, checked
    picie grid table5 --workers 2                  two at a time; Ctrl-C, and the same again goes on
    picie grid table5 --status                     done, running, failed, waiting, and the time left
    picie grid table5 --gpus 0,1                   one run on each card
    picie grid table5 --scheduler tcp://head:8786  on a dask cluster that is there
    picie grid table5 --slurm slurm.yaml           on Slurm

    Each run is notebook 00 executed by papermill; it lies in the run's folder below reports/runs/.
    """
    from picie_core.grid import cluster, ledger, plan, pool
    from picie_core.grid.display import Display
    from picie_core.training import loading

    given = options.settings(parameter)
    if "seed" in given:
        raise RefusedError("-p seed=...: a grid's seeds stand in its file; --seeds 1-10 stands above them")
    plan.refuse_fresh(given)
    if scheduler and slurm:
        raise RefusedError("--scheduler and --slurm: give one of them")
    if (scheduler or slurm) and (gpus or workers):
        raise RefusedError("--workers and --gpus are for this machine: on a cluster its workers decide")
    read = plan.read(plan.find(file), given, seeds, only or ())
    plan.refuse_beaten(read, given)
    slots = pool.slots(read.jobs(), workers, gpus)
    typer.echo(f"{read.title}: {len(read.rows)} rows, {len(read.jobs())} runs", err=True)
    if note := ledger.replaced(read, given):
        typer.echo(note, err=True)
    folders = plan.prepare(read)
    if status:
        typer.echo(ledger.report(ledger.entries(folders), len(slots)))
        return
    if dry_run:
        typer.echo(ledger.preview(read, ledger.entries(folders)))
        return
    left = ledger.missing(folders)
    for job in folders.keys() - left.keys():
        loading.adopt(folders[job], job.settings)
    failed: dict[Job, Failure] = {}
    if left:
        if not (scheduler or slurm) and (note := pool.crowded(left, slots)):
            typer.echo(note, err=True)
        try:
            with Display(folders, len(folders) - len(left)) as display:
                failed = display.failed
                if scheduler:
                    with cluster.connect(scheduler) as client:
                        cluster.work(client, left, display)
                elif slurm:
                    with cluster.slurm(slurm.expanduser()) as client:
                        cluster.work(client, left, display)
                else:
                    pool.work(left, slots, display, pool.start_job)
        except KeyboardInterrupt:
            typer.echo(ledger.halt(ledger.entries(folders)), err=True)
            raise typer.Exit(130) from None  # as shells have it
    alike: dict[str, list[Job]] = {}  # for the same reason, but for the name of their own folder in it
    for job, failure in failed.items():
        alike.setdefault(failure.reason.replace(folders[job].name, ""), []).append(job)
    for jobs in alike.values():
        typer.echo(f"\nfailed: {'; '.join(map(str, jobs))}\n{failed[jobs[0]].message}", err=True)
    where = ", ".join(sorted({str(folder.parent) for folder in folders.values()}))
    typer.echo(f"{len(folders) - len(failed)} of {len(folders)} runs are done, {len(left)} were started; in {where}")
    if len(failed) < len(folders):
        typer.echo(f"their scores: {ledger.query(folders)}")
    if failed:
        raise typer.Exit(1)
