"""`picie bench`: measure some parts or all of them, print them, keep them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from picie_core import options
from picie_core.options import Parameters, RefusedError

SIZES = {"image_size": 160, "train_images": 128, "val_images": 16, "epochs": 3}


class Part(StrEnum):
    """What can be measured; each is a module of this package."""

    EPOCH = "epoch"
    KMEANS = "kmeans"
    LOADING = "loading"
    MEMORY = "memory"
    PROFILE = "profile"
    GROWTH = "growth"


def bench(
    parts: Annotated[list[Part] | None, typer.Argument(help="None: all but growth (half an hour or more).")] = None,
    parameter: Parameters = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller, and nothing is compiled: a minute or two.")] = False,
    beside: Annotated[list[str] | None, typer.Option(metavar="METHOD", help="Time this method's epoch too.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the figures as JSON to this file.")] = None,
) -> None:
    """Measure an epoch beside its floor, loading, memory, k-means.

    \b
    picie bench                                       128 scenes, 160 x 160, batch 16
    picie bench epoch --beside deepcluster --beside iic
    picie bench growth                                6,000 to 32,000 images of 64 x 64
    picie bench memory -p dataset=camvid -p data_root=DIR -p image_size=320
    picie bench epoch -p precision=bf16 -p device=cuda -p image_size=320 -p batch_size=128 -p train_images=16384
    """
    from picie_core import devices, files
    from picie_core.benchmark import epoch, growth, kmeans, loading, memory, profile
    from picie_core.settings import Settings

    chosen = parts or [part for part in Part if part != Part.GROWTH]
    if beside and Part.EPOCH not in chosen:
        raise RefusedError(
            "--beside: the epochs of other methods are timed by the part `epoch`, which is not asked for"
        )
    settings = Settings(**(SIZES | options.settings(parameter)))
    if {Part.EPOCH, Part.PROFILE, Part.GROWTH} & set(chosen):
        epoch.needed(settings)  # what cannot be timed is refused before anything is
    machine = devices.environment(devices.make_fabric(settings).device)
    typer.echo(
        f"{settings.method}, {settings.image_size} x {settings.image_size}, batch {settings.batch_size}, "
        f"{settings.threads} threads, precision {settings.precision}, {machine['gpu'] or machine['device']}"
    )
    modules = {
        Part.EPOCH: epoch,
        Part.KMEANS: kmeans,
        Part.LOADING: loading,
        Part.MEMORY: memory,
        Part.PROFILE: profile,
        Part.GROWTH: growth,
    }
    found = {}
    for part in chosen:
        typer.echo(f"\n{part}")
        more = {"beside": beside or ()} if part == Part.EPOCH else {}
        found[part.value] = modules[part].measure(settings, quick, **more)
        for line in modules[part].lines(found[part.value]):
            typer.echo(line)
    if out:
        places = {name for name in Settings.model_fields if isinstance(getattr(settings, name), Path)}
        told = {name: None if name in places else value for name, value in settings.values().items()}
        files.write_json(out.expanduser(), found | {"quick": quick, "machine": machine, "settings": told})
