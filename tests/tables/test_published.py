"""`published`: the files in data/paper, verdicts by hand, and ours beside the paper's."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from tidy_rows import tidy

from picie_core import places, records, tables
from picie_core.datasets.registry import DATASETS
from picie_core.settings import Settings
from picie_core.tables import lists, published

TABLE_1, TABLE_2, TABLE_3, TABLE_4 = published.JOINED
FILES = sorted((places.data_folder() / "paper").glob("*.csv"))

# -- the files

SOURCES = ("PiCIE paper (CVPR 2021)", "PiCIE supplement", "PiCIE released logs", "COMUS paper", "Papers with Code page",
           "field survey", "recomputed from picie_histogram_coco.pkl")  # fmt: skip
PERCENT = ("accuracy", "miou", "iou", "pq")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_published_table_is_tidy(file):
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    columns = ["source", "table", "method", "dataset", "split", "setting", "metric", "value", "note"]
    assert table.columns.tolist() == columns
    assert len(table)
    assert set(table["source"]) <= set(SOURCES)
    assert (table[["table", "method", "dataset", "metric"]] != "").all(axis=None)
    assert not table.duplicated(columns[:7]).any(), "two values of one thing"
    assert not table.map(lambda text: text != text.strip()).any(axis=None)
    settings = table["metric"].str.startswith("param:")  # a paper's hyper-parameters may be words
    missing = table["value"] == ""
    assert table.loc[missing, "note"].eq("not reported").all()
    values = pd.to_numeric(table.loc[~settings & ~missing, "value"])
    percent = table.loc[values.index, "metric"].map(lambda name: any(word in name.lower() for word in PERCENT))
    assert values[percent].between(0, 100).all()


def test_every_file_is_looked_at():
    assert len(FILES) == 26
    assert {file.stem for file in FILES} > set(published.JOINED)


@pytest.mark.parametrize(
    ("table", "rows", "total"),
    [  # the sums of the printed numbers: a digit that is changed shows
        (TABLE_1, 14, 279.16),
        (TABLE_2, 18, 568.56),
        (TABLE_3, 8, 214.51),
        (TABLE_4, 12, 292.13),
        ("picie_table5_ablation1", 12, 330.98),
        ("picie_table6_ablation2", 10, 276.72),
        ("picie_table7_transfer", 28, 889.47),
        ("picie_table8_retraining", 40, 2018.54),
        ("picie_supp_table1_iic_lambda", 12, 143.90),
        ("picie_supp_table2_tta", 24, 736.55),
    ],
)
def test_the_papers_tables_are_whole(table, rows, total):
    found = published.read(table)
    assert len(found) == rows
    assert found["value"].sum() == pytest.approx(total, abs=0.005)


def test_what_stands_in_two_tables_is_the_same():
    """Tables 1, 2, 5 and 6 and the supplement repeat PiCIE, PiCIE+H, IIC and modified DeepCluster on all classes."""
    first = published.read(TABLE_1).set_index(["method", "metric"])["value"]
    again = published.read(TABLE_2)
    again = again[again["setting"].str.startswith("partition=All")]
    for row in again.itertuples():
        assert row.value == first[row.method, row.metric]
    ablations = published.read("picie_table5_ablation1").set_index(["method", "metric"])["value"]
    others = published.read("picie_table6_ablation2").set_index(["method", "metric"])["value"]
    augmented = published.read("picie_supp_table2_tta").set_index("metric")["value"]
    rates = published.read("picie_supp_table1_iic_lambda").set_index(["setting", "metric"])["value"]
    for metric in ("accuracy", "mIoU"):
        assert ablations["row 6", metric] == first["PiCIE+H", metric]
        for value in (ablations["row 5", metric], others["row 1", metric], augmented[metric].iloc[0]):
            assert value == first["PiCIE", metric]
        assert rates["lambda=1.0", metric] == round(first["IIC", metric], 1)


def test_the_papers_claims_follow_from_its_tables():
    first = published.read(TABLE_1).set_index(["method", "metric"])["value"]
    gains = [first["PiCIE+H", metric] - first["Modified DC", metric] for metric in ("accuracy", "mIoU")]
    assert gains == pytest.approx([17.78, 4.57])  # "+17.5 Acc. and +4.5 mIoU"
    third = published.read(TABLE_3).set_index(["method", "metric"])["value"]
    assert third["PiCIE", "accuracy"] - third["IIC", "accuracy"] == pytest.approx(17.62)  # "+18 Acc.", over IIC
    assert third["PiCIE", "mIoU"] - third["Modified DC", "mIoU"] == pytest.approx(5.25)  # "5.3 mIoU", over DeepCluster
    second = published.read(TABLE_2).set_index(["method", "setting", "metric"])["value"]
    things = "partition=Things; classes=12; sub-block of the matched 27x27 confusion matrix"
    assert second["PiCIE+H", things, "mIoU"] - second["IIC", things, "mIoU"] == pytest.approx(10.19)  # "+10 mIoU"


# -- the verdict

FIVE = [18.0, 18.0, 20.0, 22.0, 22.0]  # mean 20, interval 13.9 to 26.1


@pytest.mark.parametrize(
    ("values", "number", "same_data", "expected"),
    [
        ([], 20.0, True, "not run"),
        ([], 20.0, False, "not run"),
        (FIVE, 20.0, False, "other data"),
        ([20.0], 20.0, False, "other data"),
        (FIVE[:4], 19.5, True, "too few seeds"),
        (FIVE[:4], 90.0, True, "too few seeds"),
        (FIVE, 20.0, True, "reproduced"),
        (FIVE, 21.0, True, "reproduced"),  # at most one point
        (FIVE, 19.0, True, "reproduced"),
        (FIVE, 21.01, True, "within noise"),
        (FIVE, 26.0, True, "within noise"),
        (FIVE, 14.0, True, "within noise"),
        (FIVE, 26.2, True, "not reproduced"),
        (FIVE, 13.8, True, "not reproduced"),
        ([20.0, 20.0, 20.0, 20.0, 20.1], 20.9, True, "not reproduced"),  # near, but far outside of the noise
    ],
)
def test_verdicts(values, number, same_data, expected):
    assert published.verdict(values, number, same_data) == expected


# -- beside the paper


def test_every_row_of_a_table_is_there_when_nothing_was_run():
    for table in published.JOINED:
        found = published.beside(tidy(), table)
        theirs = published.read(table)
        assert found[["method", "setting", "metric", "paper"]].to_numpy().tolist() == (
            theirs[["method", "setting", "metric", "value"]].to_numpy().tolist()
        )
        assert set(found["verdict"]) == {"not run"}
        assert set(found["ours"]) == set(found["our data"]) == {""}
        assert found["difference"].isna().all()


def test_the_tables_are_of_data_sets_that_there_are():
    assert set(published.JOINED.values()) <= set(DATASETS)


def test_ours_stand_beside_the_number_of_their_method_and_metric():
    ours = tidy(
        *(("picie", "coco27", seed, 40 + seed, 13.84 + (seed - 3) / 10) for seed in range(1, 6)),
        ("picie+H", "coco27", 1, 50, 15),
        ("rgb", "coco27", 1, 10, 3),
    )
    table = published.beside(ours, TABLE_1).set_index(["method", "metric"])
    assert table.loc[("PiCIE", "accuracy"), "ours"] == "43.00 ± 1.58 (n = 5)"
    assert table.loc[("PiCIE", "accuracy"), "difference"] == pytest.approx(43 - 48.09)
    assert table.loc[("PiCIE", "accuracy"), "verdict"] == "not reproduced"  # 48.09 > 43 + 2.776 * 1.58 * 1.095 = 47.8
    assert table.loc[("PiCIE", "mIoU"), "ours"] == "13.84 ± 0.16 (n = 5)"
    assert table.loc[("PiCIE", "mIoU"), "verdict"] == "reproduced"
    assert table.loc[("PiCIE+H", "mIoU"), ["ours", "verdict"]].tolist() == ["15.00 (n = 1)", "too few seeds"]
    assert set(table.loc[["No Train", "Modified DC", "IIC", "IIC-res12"], "verdict"]) == {"not run"}
    digests = dict(zip(ours["method"], ours["digest"], strict=True))
    assert table.loc[("PiCIE", "mIoU"), "runs"] == f"{digests['picie']}:1,2,3,4,5"
    assert table.loc[("PiCIE+H", "accuracy"), "runs"] == f"{digests['picie+H']}:1"
    assert table.loc[("IIC", "mIoU"), "runs"] == ""


METHODS = ("untrained-linear", "untrained", "deepcluster", "iic-res12", "iic", "picie", "picie+H")


def test_each_of_our_methods_has_its_row():
    ours = tidy(*((method, "coco27", 1, 50 + n, n) for n, method in enumerate(METHODS)))
    table = published.beside(ours, TABLE_1).query("metric == 'mIoU'")
    assert table["ours"].tolist() == [f"{n}.00 (n = 1)" for n in range(7)]


def test_things_and_stuff_stand_beside_their_blocks():
    more = {"accuracy, things (block)": 61.0, "mean_iou, things (block)": 21.0, "accuracy, stuff (block)": 71.0,
            "mean_iou, stuff (block)": 16.0, "mean_iou, things (rows)": 3.0}  # fmt: skip
    table = published.beside(tidy(("picie+H", "coco27", 1, 50, 15, {"metrics": more})), TABLE_2)
    mine = table[table["method"] == "PiCIE+H"]
    assert mine["setting"].str[10:16].tolist() == ["Stuff;"] * 2 + ["Things"] * 2 + ["All; c"] * 2
    assert mine["ours"].tolist() == [f"{value:.2f} (n = 1)" for value in (71, 16, 61, 21, 50, 15)]


def test_numbers_taken_over_from_prior_work_are_nobodys():
    table = published.beside(tidy(("iic", "coco_stuff15", 1, 27, 9)), TABLE_4)
    ours = table[table["ours"] != ""]
    assert ours[["method", "paper", "verdict"]].to_numpy().tolist() == [["IIC", 27.97, "too few seeds"]]


def test_a_number_of_other_data_is_not_a_reproduction_however_near():
    ours = tidy(*(("picie", "scenes", seed, 48.09, 13.84) for seed in range(1, 8)))
    table = published.beside(ours, TABLE_1).set_index(["method", "metric"])
    assert table.loc[("PiCIE", "mIoU"), ["paper's data", "our data", "verdict"]].tolist() == [
        "coco27", "scenes", "other data",
    ]  # fmt: skip
    assert table["difference"].isna().all()


@pytest.mark.parametrize(
    ("given", "data"),
    [
        ({"val_images": 50}, "coco27, val_images=50"),
        ({"train_images": 500, "val_images": None}, "coco27, train_images=500"),
        ({"scored_split": "train"}, "coco27, scored_split=train"),
        ({"scored_split": "test", "train_split": "trainval"}, "coco27, scored_split=test, train_split=trainval"),
        ({"scored_split": "val", "train_split": "train", "val_images": None, "epochs": 3}, "coco27"),
    ],
)
def test_a_part_of_the_data_is_other_data(given, data):
    ours = tidy(*(("picie", "coco27", s, 48, 13.8, {"explicit": json.dumps(given | {"seed": s})}) for s in range(1, 6)))
    row = published.beside(ours, TABLE_1).set_index(["method", "metric"]).loc[("PiCIE", "mIoU")]
    assert row["our data"] == data
    assert (row["verdict"] == "other data") == (data != "coco27")


@pytest.mark.parametrize(
    ("images", "data"),
    [
        ({"train": 49629, "val": 2175}, "coco27"),
        ({"train": 90, "val": 2175}, "coco27, 90 of 49629 images of train"),
        ({"train": 49629, "val": 7}, "coco27, 7 of 2175 images of val"),
        ({"train": 90, "val": 7}, "coco27, 90 of 49629 images of train, 7 of 2175 images of val"),
        ({}, "coco27"),  # a list of runs: not known
    ],
)
def test_a_folder_that_holds_a_part_of_the_data_holds_other_data(images, data):
    more = {"images": json.dumps(images)}
    ours = tidy(*(("picie", "coco27", seed, 20.0, 5.0, more) for seed in range(1, 8)))
    row = published.beside(ours, TABLE_1).set_index(["method", "metric"]).loc[("PiCIE", "mIoU")]
    assert (row["our data"], row["verdict"]) == (data, "not reproduced" if data == "coco27" else "other data")
    assert math.isnan(row["difference"]) == (data != "coco27")


def test_a_limit_that_was_given_is_told_once():
    more = {"images": '{"train": 160, "val": 9}', "explicit": json.dumps({"train_images": 160, "seed": 1})}
    told = published.data_used(tidy(("picie", "coco27", 1, 20.0, 5.0, more)))
    assert told == ["coco27, train_images=160, 9 of 2175 images of val"]


def test_images_are_counted_where_the_number_is_published():
    ours = tidy(
        *(
            (m, d, 1, 20.0, 5.0, {"images": '{"train": 9}'})
            for m in ("picie", "rgb")
            for d in ("scenes", "folder-a-1f3a")
        )
    )
    assert published.data_used(ours) == ["folder-a-1f3a", "scenes"]


def test_a_run_made_again_with_all_images_takes_the_place_of_the_first():
    whole = ("picie", "coco27", 1, 40, 13, {"images": '{"train": 49629, "val": 2175}'})
    again = tidy(("picie", "coco27", 1, 40, 9, {"key": "old", "images": '{"train": 90, "val": 7}'}), whole)
    row = published.beside(again, TABLE_1).set_index(["method", "metric"]).loc[("PiCIE", "mIoU")]
    assert row[["ours", "our data"]].tolist() == ["13.00 (n = 1)", "coco27"]


def test_a_seed_that_was_run_again_counts_once():
    ours = tidy(("picie", "coco27", 1, 40, 9, {"key": "old"}), ("picie", "coco27", 1, 40, 13, {"key": "new"}))
    table = published.beside(ours, TABLE_1).set_index(["method", "metric"])
    assert table.loc[("PiCIE", "mIoU"), "ours"] == "13.00 (n = 1)"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("picie", {"recipe": "release"}), r"the runs of picie are of 2 settings: \w{12} \{\}, or \w{12} \{\}"),
        (
            ("picie", {"explicit": '{"epochs": 9, "seed": 2}'}),
            r'picie are of 2 settings: .*\{"epochs": 9\}.* one digest',
        ),
        (
            ("picie", {"dataset": "scenes"}),
            "2 data sets: coco27; scenes. Join the runs of one of them alone: `candidates` selects",
        ),
        (("untrained", {"dataset": "scenes"}), "2 data sets: coco27; scenes"),
        (("untrained", {"explicit": '{"val_images": 9}'}), "2 data sets: coco27; coco27, val_images=9"),
        (
            ("picie", {"images": '{"val": 7}'}),
            "coco27, 7 of 2175 images of val.* while images were missing, run its seed",
        ),
    ],
)
@pytest.mark.parametrize("join", [lambda ours: published.beside(ours, TABLE_1), published.order])
def test_what_cannot_be_averaged_or_compared_is_not_joined(join, other, message):
    ours = tidy(("picie", "coco27", 1, 40, 13), (other[0], "coco27", 2, 40, 13, other[1]))
    with pytest.raises(ValueError, match=message):
        join(ours)


def test_methods_may_be_of_different_settings():
    ours = tidy(
        ("picie", "coco27", 1, 40, 13), ("untrained", "coco27", 1, 20, 8, {"explicit": '{"method": "untrained"}'})
    )
    assert (published.beside(ours, TABLE_1)["verdict"] == "too few seeds").sum() == 4


def test_tables_of_something_else_are_not_joined():
    """A linear probe's accuracy is not a clustering's."""
    with pytest.raises(ValueError, match=r"picie_table7_transfer has no rows .*; joined are: picie_table1_coco_all, "):
        published.beside(tidy(), "picie_table7_transfer")


def made(settings, name, seed=1, **extra):
    """A row of `records.tidy` of these settings."""
    own = settings.replace(**tables.ROWS[name], seed=seed)
    more = {"digest": records.digest(own), "recipe": own.recipe, "key": f"{own.dataset} {name} {seed}"}
    return (name, own.dataset, seed, 10.0, 5.0, more | extra)


def test_candidates_are_the_runs_of_these_settings_on_the_tables_own_data():
    scenes, coco = (Settings(dataset=name, epochs=2, seed=7) for name in ("scenes", "coco27"))
    longer = scenes.replace(epochs=9)
    here = [
        made(scenes, "picie"),
        made(scenes, "picie", 2),
        made(scenes, "untrained-linear"),
        made(scenes, "supervised"),
    ]
    runs = tidy(*here, made(longer, "picie"), made(scenes.replace(recipe="paper"), "iic"))
    found = published.candidates(runs, TABLE_1, scenes)
    assert found["key"].unique().tolist() == [row[-1]["key"] for row in here]
    assert published.candidates(runs, TABLE_1, longer)["method"].unique().tolist() == ["picie"]
    published.beside(found, TABLE_1)  # one configuration a method: nothing is refused
    both = pd.concat([runs, tidy(made(coco, "iic-res12"), made(coco.replace(epochs=3), "iic"))], ignore_index=True)
    assert published.candidates(both, TABLE_1, scenes)["key"].unique().tolist() == ["coco27 iic-res12 1"]
    assert published.candidates(both, TABLE_3, scenes)["dataset"].unique().tolist() == ["scenes"]


def test_no_candidates_are_no_rows():
    found = published.candidates(tidy(("picie", "scenes", 1, 10.0, 5.0)), TABLE_1, Settings())
    assert len(found) == 0
    assert set(published.beside(found, TABLE_1)["verdict"]) == {"not run"}


def test_a_published_table_that_is_not_there():
    with pytest.raises(
        FileNotFoundError, match=r"no published table 'table_one' in .*there are: .*picie_table1_coco_all"
    ):
        published.read("table_one")


# -- the order of the methods

NAMES = ["no training, linear", "IIC-res12", "IIC", "no training, k-means", "modified DeepCluster", "PiCIE", "PiCIE+H"]
ORDER = ("untrained-linear", "iic-res12", "iic", "untrained", "deepcluster", "picie", "picie+H")


def test_the_order_is_the_papers_in_miou():
    table = published.order(tidy())
    assert len(table) == 21
    assert table["apart"].tolist() == sorted(table["apart"])
    assert table.iloc[-1][["lower", "higher", "apart"]].tolist() == [NAMES[0], NAMES[-1], 6]
    assert table.iloc[-1]["paper"] == pytest.approx(14.36 - 3.70)
    table = table[table["apart"] == 1]
    assert [*table["lower"], table["higher"].iloc[-1]] == NAMES
    assert table["higher"].tolist() == NAMES[1:]
    assert table["paper"].tolist() == pytest.approx([0.41, 2.60, 1.70, 1.38, 4.05, 0.52])
    assert set(table["holds"]) == {"not run"}


def test_neighbours_are_compared_on_the_seeds_that_both_have():
    ours = tidy(
        *(("deepcluster", "camvid", seed, 0, 10 + seed) for seed in (1, 2, 3)),
        *(("picie", "camvid", seed, 0, value) for seed, value in ((2, 17.0), (3, 19.0), (4, 90.0))),
        *(("picie+H", "camvid", seed, 0, value) for seed, value in ((2, 15.0), (3, 17.1), (4, 88.0))),
        *(("untrained", "camvid", seed, 0, value) for seed, value in ((1, 3.0), (3, 20.0))),
    )
    table = published.order(ours)
    assert table.set_index(["lower", "higher"])["holds"]["no training, k-means", "PiCIE+H"] == "undecided"  # seed 3
    table = table[table["apart"] == 1].set_index("higher")
    row = table.loc["PiCIE"]
    assert (row["difference"], row["seeds"], row["data"]) == (5.5, "2, 3", "camvid")  # 17 - 12, 19 - 13
    digests = dict(zip(ours["method"], ours["digest"], strict=True))
    assert row["runs"] == f"{digests['picie']}:2,3 {digests['deepcluster']}:2,3"
    assert row["low"] == pytest.approx(5.5 - 12.706 * 0.5, abs=1e-3)  # t(0.975, 1) = 12.706
    assert row["high"] == pytest.approx(5.5 + 12.706 * 0.5, abs=1e-3)
    assert row["p"] == pytest.approx(2 * math.atan(0.5 / 5.5) / math.pi)  # Cauchy: t = 11
    assert table["holds"].tolist() == ["not run", "not run", "not run", "undecided", "undecided", "reversed"]


def test_an_order_that_holds():
    generator = np.random.default_rng(0)
    base = generator.normal(20, 3, 5)
    ours = tidy(
        *((method, "camvid", seed, 30, base[seed] + 2 * step + generator.normal(0, 0.1))
          for step, method in enumerate(ORDER)
          for seed in range(5))
    )  # fmt: skip
    table = published.order(ours)
    assert set(table["holds"]) == {"yes"}
    np.testing.assert_allclose(table["difference"], 2 * table["apart"], atol=0.5)
    assert (table["p"] < 0.001).all()
    assert (published.order(ours, metric="accuracy")["holds"] == "undecided").all()  # all alike


def test_seeds_that_do_not_meet_are_refused():
    ours = tidy(("picie", "camvid", 1, 0, 10), ("deepcluster", "camvid", 2, 0, 10))
    with pytest.raises(ValueError, match="picie and deepcluster have no seed in common"):
        published.order(ours)


def test_a_table_with_several_numbers_of_a_method_has_no_order():
    with pytest.raises(ValueError, match="several numbers of a method for mIoU"):
        published.order(tidy(), TABLE_2)


def test_the_papers_margins_are_of_one_method_over_each_other():
    found = published.margins("picie")
    assert found["modified DeepCluster"] == pytest.approx(13.84 - 9.79)
    assert found["PiCIE+H"] == pytest.approx(13.84 - 14.36)
    assert len(found) == 6
    assert published.margins("picie", metric="accuracy")["IIC-res12"] == pytest.approx(48.09 - 22.45)
    with pytest.raises(ValueError, match=r"picie_table1_coco_all has no mIoU of 'rgb'; there are: deepcluster, iic, "):
        published.margins("rgb")
    with pytest.raises(ValueError, match="several numbers of a method for mIoU"):
        published.margins("picie", TABLE_2)


def test_what_is_committed_of_photographs_is_what_its_list_of_runs_gives():
    """Notebook 04 says thirteen pairs and eight (by accuracy five), and that Holm leaves none; its tables are of the
    committed list."""
    photo = {"dataset": "camvid", "recipe": "paper", "pretrained": False, "epochs": 4}
    runs = tables.of_settings(lists.committed("camvid"), Settings(**photo))
    order = published.order(runs)
    assert order["holds"].value_counts().to_dict() == {"yes": 13, "undecided": 8}
    nearest = order.sort_values("p of all").iloc[0]
    assert (nearest["lower"], nearest["higher"], round(nearest["p of all"], 2)) == ("IIC", "PiCIE+H", 0.06)
    accuracy = published.order(runs, metric="accuracy")
    assert accuracy["holds"].value_counts().to_dict() == {"undecided": 16, "yes": 5}
    assert accuracy["p of all"].min() > 0.05
    every = pd.read_csv(places.reports_folder() / "tables" / "camvid-committed-order.csv")
    clear = every[every["p of all"] < 0.05]
    assert clear[["lower", "higher", "metric", "epochs"]].values.tolist() == [
        ["no training, k-means", "PiCIE+H", "accuracy", 20]
    ]
    (reversed_,) = every[every["holds"] == "reversed"].itertuples()
    assert (reversed_.lower, reversed_.higher, reversed_.epochs) == ("IIC-res12", "no training, k-means", 20)
    made = every.query("epochs == 4")
    for metric, of_metric in (("mIoU", order), ("accuracy", accuracy)):
        found = made[made["metric"] == metric]
        assert found["runs"].tolist() == of_metric["runs"].tolist()
        assert found["difference"].to_numpy() == pytest.approx(of_metric["difference"].to_numpy(dtype=float))
    beside = published.beside(runs, "picie_table1_coco_all")
    made = pd.read_csv(places.reports_folder() / "tables" / "camvid-committed-table1.csv")
    assert made["ours"].tolist() == beside["ours"].tolist()
