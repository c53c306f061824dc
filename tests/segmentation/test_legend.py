"""`legend`: names and colours of clusters, given, guessed or none."""

import dataclasses

import numpy as np
import pytest
from photographs import rows, small

from picie_core import classes, metrics, palettes
from picie_core.datasets import DataError
from picie_core.segmentation import album, legend


def test_names_go_out_and_come_back(tiny_run, tmp_path):
    images = small(tmp_path / "photo.jpg")
    first = album.segment(tiny_run, images, tmp_path / "first").with_name("clusters.csv")
    guessed = {int(row["cluster"]): row["name"] for row in rows(first)}
    majority = metrics.majority(tiny_run.confusion)
    assert guessed == {k: f"{classes.SCENES.names[c]}?" if c >= 0 else "" for k, c in enumerate(majority)}
    run = tiny_run.folder.name
    assert {row["run"] for row in rows(first)} == {run}
    edited = first.read_text().replace(f"0,{guessed[0]},", '0,"bushes, low",').replace(f"3,{guessed[3]},", "3,Gebüsch,")
    for mark in ("", "\ufeff"):  # a spreadsheet puts a byte order mark before UTF-8
        (tmp_path / "names.csv").write_text(mark + edited, encoding="utf-8")
        names = legend.read_names(tmp_path / "names.csv", run)
        second = album.segment(tiny_run, images, tmp_path / "second", names)
        found = {int(row["cluster"]): row["name"] for row in rows(second.with_name("clusters.csv"))}
        assert found == guessed | {0: "bushes, low", 3: "Gebüsch"}


def test_a_cluster_without_a_name_keeps_the_one_it_had(tiny_run, tmp_path):
    (tmp_path / "names.csv").write_text("name,cluster\r\n tree ,2\r\n,3\r\n  ,\r\n\r\n")
    assert legend.read_names(tmp_path / "names.csv", "a run") == {2: "tree"}


@pytest.mark.parametrize("comma", [";", "\t"])
def test_spreadsheets_that_part_cells_by_something_else_are_read(tmp_path, comma):
    table = "\ufeffcluster,name,share\r\n0,bushes,1.5\r\n1,road,,,\r\n".replace(",", comma)  # and empty cells too many
    (tmp_path / "names.csv").write_text(table, "utf-8")
    assert legend.read_names(tmp_path / "names.csv", "a run") == {0: "bushes", 1: "road"}


def test_names_of_another_runs_clusters_are_refused(tmp_path):
    (tmp_path / "names.csv").write_text("cluster,name,run\n0,road,run-a\n1,sky,\n")
    assert legend.read_names(tmp_path / "names.csv", "run-a") == {0: "road", 1: "sky"}
    with pytest.raises(DataError, match=r"names the clusters of run run-a, and those of run-b have"):
        legend.read_names(tmp_path / "names.csv", "run-b")


def test_a_name_for_a_cluster_that_is_not_there_is_refused_before_anything_is_done(tiny_run, tmp_path):
    with pytest.raises(DataError, match=r"a name for cluster -1, 12: this run has clusters 0 to 11"):
        album.segment(tiny_run, small(tmp_path / "a.jpg"), tmp_path / "out", {0: "a", 12: "b", -1: "c"})
    assert not (tmp_path / "out").exists()


def test_a_table_of_names_that_is_not_there_is_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"names of clusters: .*nope\.csv: there is no such file; expected a CSV file"):
        legend.read_names(tmp_path / "nope.csv", "a run")
    with pytest.raises(DataError, match=r"Is a directory; expected a CSV file with the columns cluster and name"):
        legend.read_names(tmp_path, "a run")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the columns cluster and name, got $"),
        (b"cluster name\n1 tree\n", "expected the columns cluster and name, got cluster name"),
        (b"id;name\n1;tree\n", "expected the columns cluster and name, got id, name"),
        (b"cluster,name\n0,trees, bushes\n", "line 2: 'bushes' stands beyond the 2 columns: a text that holds a ','"),
        (b"cluster,name\n0,sky\n1,tree\n0,sea\n", "line 4: cluster 0 is 'sea', and 'sky' above: keep one"),
        (b"cluster,name\n1,tree\ntwo,sky\n", "line 3: cluster is 'two', expected a number"),
        (b"cluster,name\n1.0,tree\n", "cluster is '1.0'"),
        (b"name,cluster\ntree\n", "cluster is None"),
        (b"cluster,name\n1," + b"x" * 200_000, "is no CSV file .field larger than field limit"),
        ("cluster,name\n1,Gebüsch\n".encode("latin-1"), "is not UTF-8 .*save it as 'CSV UTF-8'"),
    ],
)
def test_a_table_of_names_that_cannot_be_used_says_why(tmp_path, content, message):
    (tmp_path / "names.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        legend.read_names(tmp_path / "names.csv", "a run")
    assert "names.csv" in str(caught.value)


def test_clusters_are_called_by_the_class_of_most_of_their_pixels(tiny_run):
    confusion = np.zeros_like(tiny_run.confusion)
    confusion[:3, :3] = [[5, 4, 0], [1, 0, 0], [0, 3, 0]]  # two clusters of class 0, and one that nobody has seen
    run, table = dataclasses.replace(tiny_run, confusion=confusion), classes.SCENES
    assert legend.cluster_names(run) == {0: f"{table.names[0]}?", 1: f"{table.names[0]}?"}


def test_what_was_taught_the_classes_calls_them_by_its_own(tiny_run):
    confusion = np.zeros_like(tiny_run.confusion)
    confusion[0, :2] = 5  # the second class is always taken for the first
    settings = tiny_run.settings.model_copy(update={"method": "supervised"})
    run, table = dataclasses.replace(tiny_run, confusion=confusion, settings=settings), classes.SCENES
    assert legend.cluster_names(run)[1] == f"{table.names[1]}?"


def test_clusters_of_a_run_without_labels_have_no_names(tiny_run):
    unlabelled = dataclasses.replace(tiny_run, confusion=None, scores=None, result={**tiny_run.result, "classes": None})
    assert legend.cluster_names(unlabelled) == {}


def test_the_background_is_called_so_scored_or_not(tiny_run):
    of_objects = dataclasses.replace(tiny_run, settings=tiny_run.settings.model_copy(update={"method": "comus"}))
    unlabelled = dataclasses.replace(of_objects, confusion=None)
    assert legend.cluster_names(unlabelled) == {0: "background"}
    assert palettes.of_run(unlabelled)[0].tolist() == [0, 0, 0]
    confusion = np.zeros((len(classes.SCENES), 13), dtype=int)
    confusion[0, :2] = 5
    scored = dataclasses.replace(of_objects, confusion=confusion)
    assert legend.cluster_names(scored) == {0: "background", 1: f"{classes.SCENES.names[0]}?"}


def test_a_legend_by_hand():
    rows = legend.clusters(
        np.array([[255, 0, 16], [0, 0, 0]], np.uint8), {1: "a, b"}, np.array([3, 1]), np.array([2, 1])
    )
    assert rows == [
        legend.Cluster(0, "", "#ff0010", 75.0, 3, 2), legend.Cluster(1, "a, b", "#000000", 25.0, 1, 1),
    ]  # fmt: skip
    assert legend.as_csv(rows, "a run") == (
        'cluster,name,share,pixels,images,color,run\n0,,75.000,3,2,#ff0010,a run\n1,"a, b",25.000,1,1,#000000,a run\n'
    )
