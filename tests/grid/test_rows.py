"""`grid.rows`: a grid's runs as tables, found by their settings, beside the paper's numbers."""

import math

import pandas as pd
import pytest

from picie_core import records
from picie_core.grid import plan, rows
from picie_core.settings import Settings

PUBLISHED = {"table": "picie_table5_ablation1"}


@pytest.fixture
def grid(grid_file):
    """Three rows on COCO: PiCIE beside row 5 (13.84 mIoU), one beside row 4 (12.04), one beside nothing."""
    whole = {"dataset": "coco27", "train_images": None, "val_images": None}
    base = [
        {"name": "all", "settings": whole, "published": PUBLISHED | {"method": "row 5"}},
        {
            "name": "no P",
            "settings": whole | {"photometric": False},
            "published": PUBLISHED | {"method": "row 4"},
        },
        {"name": "mse", "settings": whole | {"mse": "added"}},
    ]
    return plan.read(grid_file(base, (1, 2, 3)))


def tidy(grid, images="{}", **values):
    """Rows of `records.tidy`: row -> seed -> mIoU (accuracy is twice that)."""
    found = []
    for row in grid.rows:
        s = Settings(**row.settings)
        common = {"digest": records.digest(s), "dataset": s.dataset, "explicit": records.explicit(s), "images": images}
        for seed, value in values.get(row.name.replace(" ", "_"), {}).items():
            found.append(common | {"seed": seed, "metric": "mean_iou", "value": value})
            found.append(common | {"seed": seed, "metric": "accuracy", "value": 2 * value})
    found.append({"digest": "another", "seed": 1, "metric": "mean_iou", "value": 99.0})
    return pd.DataFrame(found)


def test_runs_are_found_by_their_settings_in_whatever_words(grid):
    found = tidy(grid, all={1: 10.0})
    again = records.digest(Settings(**grid.rows[0].settings, temperature=1.0))  # 1 is what it is anyway
    assert again in set(found["digest"])
    assert rows.scores(grid, found) == {"all": {1: 10.0}, "no P": {}, "mse": {}}
    assert rows.scores(grid, found, "accuracy")["all"] == {1: 20.0}


def test_of_two_runs_of_one_seed_the_last_counts(grid):
    found = pd.concat([tidy(grid, all={1: 10.0}), tidy(grid, all={1: 11.0})])
    assert rows.scores(grid, found)["all"] == {1: 11.0}


def test_ours_beside_the_papers(grid):
    found = rows.beside(grid, tidy(grid, all={1: 13.0, 2: 15.0}, mse={3: 9.0})).set_index("row")
    assert found.loc["all", "seeds"] == "1, 2"
    assert found.loc["all", "mIoU"] == "14.0 ± 1.4 [1.3, 26.7]"  # t_1 = 12.706, sd = sqrt 2: 12.706 sqrt 2 / sqrt 2
    assert (found.loc["all", "mIoU, paper"], found.loc["all", "accuracy, paper"]) == (13.84, 48.09)
    assert found["verdict"].to_dict() == {"all": "too few seeds", "no P": "not run", "mse": ""}
    assert (found.loc["no P", "seeds"], found.loc["no P", "mIoU"]) == ("not run", "")
    assert found.loc["mse", "mIoU"] == "9.0"
    digests = [records.digest(Settings(**row.settings)) for row in grid.rows]
    assert found["runs"].tolist() == [f"{digests[0]}:1,2", "", f"{digests[2]}:3"]
    assert math.isnan(found.loc["mse", "mIoU, paper"])


PARTS = [
    {"dataset": "scenes"},
    {"val_images": 4},
    {"train_images": 8},
    {"scored_split": "train"},
    {"train_split": "trainval"},
]


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_other_data_and_parts_of_the_data_are_said_to_be(grid_file, part):
    whole = {"dataset": "coco27", "train_images": None, "val_images": None}
    grid = plan.read(
        grid_file([{"name": "all", "settings": whole | part, "published": PUBLISHED | {"method": "row 5"}}])
    )
    assert rows.beside(grid, tidy(grid, all=dict.fromkeys(range(5), 13.84))).loc[0, "verdict"] == "other data"


def test_a_folder_that_holds_a_part_of_the_data_holds_other_data(grid_file):
    settings = {"dataset": "coco27", "train_images": None, "val_images": None}
    grid = plan.read(grid_file([{"name": "all", "settings": settings, "published": PUBLISHED | {"method": "row 5"}}]))
    for images, verdict in (("{}", "reproduced"), ('{"train": 49629, "val": 2175}', "reproduced"),
                            ('{"train": 49629, "val": 2174}', "other data")):  # fmt: skip
        ours = tidy(grid, images, all=dict.fromkeys(range(5), 13.84))
        assert rows.beside(grid, ours).loc[0, "verdict"] == verdict
    again = pd.concat([ours, tidy(grid, '{"train": 49629, "val": 2175}', all=dict.fromkeys(range(5), 13.84))])
    assert rows.beside(grid, again).loc[0, "verdict"] == "reproduced"  # of each seed the latest counts


def test_comus_table_2_is_of_data_that_are_none_of_these(grid_file):
    key = {"table": "comus_table2_voc2007", "method": "COMUS", "setting": "all 21 classes; Hungarian"}
    for split in ("val", "test"):
        data = {"dataset": "voc21_2007", "scored_split": split, "train_images": None, "val_images": None}
        grid = plan.read(grid_file([{"name": "all", "settings": data, "published": key}]))
        assert "other data" in rows.beside(grid, tidy(grid, all=dict.fromkeys(range(5), 40.0)))["verdict"].tolist()


def test_effects_are_paired_by_seed(grid):
    found = tidy(grid, all={1: 10.0, 2: 20.0, 3: 30.0}, no_P={1: 8.0, 2: 17.5, 4: 0.0}, mse={2: 21.0})
    table = rows.effects(grid, found, "all").set_index("row")
    assert list(table.index) == ["no P", "mse"]
    # differences -2 and -2.5: mean -2.25, sd 0.3536, half width 12.706 * 0.3536 / sqrt 2 = 3.177
    assert table.loc["no P", ["difference", "low", "high"]].tolist() == pytest.approx([-2.25, -5.427, 0.927], abs=1e-3)
    assert table.loc["no P", "seeds"] == "1, 2"
    assert table.loc["no P", "paper"] == pytest.approx(12.04 - 13.84)
    assert table.loc["no P", "agrees"] == "undecided"
    assert table.loc["mse", "difference"] == 1
    assert table.loc["mse", ["low", "paper"]].isna().all()
    digests = [records.digest(Settings(**row.settings)) for row in grid.rows]
    assert table.loc["no P", "runs"] == f"{digests[1]}:1,2 {digests[0]}:1,2"
    assert table.loc["mse", "runs"] == f"{digests[2]}:2 {digests[0]}:2"
    assert rows.effects(grid, found, "all", "accuracy").set_index("row").loc["mse", "difference"] == 2


def test_the_means_behind_a_difference_are_of_the_seeds_of_both(grid):
    found = tidy(grid, all={1: 10.0, 2: 20.0, 3: 30.0}, no_P={1: 8.0, 2: 17.5, 4: 0.0})
    table = rows.paired(grid, found, "all")
    assert table.columns.tolist() == ["row", "mIoU", "reference", *rows.EFFECT[1:]]
    assert table.loc[0, ["mIoU", "reference", "difference"]].tolist() == [12.75, 15.0, -2.25]
    assert table.loc[1, ["mIoU", "reference", "difference"]].isna().all()
    accuracy = rows.paired(grid, found, "all", "accuracy")
    assert accuracy.loc[0, ["accuracy", "reference", "difference"]].tolist() == [25.5, 30.0, -4.5]


@pytest.mark.parametrize(("sign", "agrees"), [(-1, "yes"), (1, "no")])
def test_an_effect_that_is_decided_agrees_with_the_paper_or_not(grid, sign, agrees):
    values = {1: 10.0, 2: 11.0, 3: 12.0}
    found = tidy(grid, all=values, no_P={seed: v + sign * (3 + 0.1 * seed) for seed, v in values.items()})
    assert rows.effects(grid, found, "all").set_index("row")["agrees"].to_dict() == {"no P": agrees, "mse": "not run"}


def test_the_nearest_published_row_is_by_changes(grid_file):
    """Changes of the paper's Table 6 from PiCIE (48.09, 13.84): row 2 (-7.53, -2.38), row 4 (-3.94, -2.86)."""
    base = [
        {"name": "PiCIE", "published": {"table": "picie_table6_ablation2", "method": "row 1"}},
        {"name": "like row 2", "settings": {"mse": "added"}},
        {"name": "like row 4", "settings": {"balance": "none"}},
        {"name": "not run", "settings": {"photometric": False}},
    ]
    grid = plan.read(grid_file(base))
    changes = {"PiCIE": (0, 0), "like row 2": (-7.53, -2.38), "like row 4": (-3.94, -2.86)}
    found = [
        {"digest": records.digest(Settings(**row.settings)), "seed": 1, "metric": metric, "value": 60 + change}
        for row in grid.rows
        if row.name in changes
        for metric, change in zip(("accuracy", "mean_iou"), changes[row.name], strict=True)
    ]
    table = rows.nearest(grid, pd.DataFrame(found), "PiCIE", "picie_table6_ablation2").set_index("row")
    assert table["nearest"].to_dict() == {"like row 2": "row 2", "like row 4": "row 4"}
    digests = [records.digest(Settings(**row.settings)) for row in grid.rows]
    assert table["runs"].tolist() == [f"{digests[1]}:1 {digests[0]}:1", f"{digests[2]}:1 {digests[0]}:1"]
    assert table.loc["like row 2", "row 2"] == pytest.approx(0, abs=1e-9)
    assert table.loc["like row 2", "row 4"] == pytest.approx(math.hypot(7.53 - 3.94, 2.86 - 2.38))


def test_a_row_may_say_what_its_table_calls_the_score(grid_file):
    """COMUS's Table 3 has the mIoU of all, of the discovered and of those with a cluster."""
    key = {"table": "comus_table3_coco", "method": "COMUS", "metric": "mIoU all (81)"}
    grid = plan.read(grid_file([{"name": "COMUS", "published": key}, {"name": "other", "settings": {"epochs": 2}}]))
    assert rows.number(grid.rows[0], "mIoU of objects") == 19.6
    assert math.isnan(rows.number(grid.rows[0], "mIoU"))  # of all classes, which COMUS does not report
    with pytest.raises(plan.GridError, match=r"comus_table3_coco has no metric 'mIoU'"):
        plan.read(grid_file([{"name": "COMUS", "published": key | {"metric": "mIoU"}}]))
