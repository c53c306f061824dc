"""Which epoch of a run counts: the last, for without labels nobody can tell which is best."""

import pandas as pd

COLUMNS = ["prototypes", "last", "best", "best epoch", "gap"]
"""Of `last_and_best`."""


def last_and_best(progress: pd.DataFrame, metric: str = "mean_iou") -> pd.DataFrame:
    """The last epoch's score beside the best one's, which only labels can find: the gap is what choosing would add.

    Epochs are scored with their own prototypes or classifier, one score for each set of them (PiCIE has one a view).
    The score of a run is neither: it is of the fresh clustering after the last epoch. Some published numbers are of
    epochs chosen by their labels, e.g. IIC's on COCO-Stuff.

    Args:
        progress: `Run.progress`: a row per epoch with the columns `epoch` and `<metric>_<prototypes>`.
        metric: `mean_iou` or `accuracy`.

    Returns:
        A row for each set of prototypes: last, best and gap = best - last in percent points, best epoch from 1 on (of
        equally good ones the first). Without rows for a run that has no epochs.

    Raises:
        ValueError: the epochs were not scored.
    """
    if progress.empty:
        return pd.DataFrame(columns=COLUMNS)
    scored = [name for name in progress.columns if name.startswith(f"{metric}_")]
    if not scored:
        raise ValueError(
            f"no epoch has a {metric}: the run's scored split has no labels, or training_clusters made more clusters "
            "than are scored. So none can be chosen: the last one counts"
        )
    rows = []
    for name in scored:
        values = progress[name].to_numpy(dtype=float)
        best = values.argmax()
        shown = [name.removeprefix(f"{metric}_"), values[-1], values[best], int(progress["epoch"].iloc[best]) + 1]
        rows.append([*shown, values[best] - values[-1]])
    return pd.DataFrame(rows, columns=COLUMNS)
