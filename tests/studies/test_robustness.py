"""`robustness`: test images are transformed as in training, labels move along, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_runs import tiny

from picie_core import evaluation, metrics, records, training
from picie_core.studies import robustness, supplement
from picie_core.studies.robustness import FLAGS, STRENGTHS, Transform, draw, neutral
from picie_core.views import geometry, photometry

INDICES = np.arange(40)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A finished run's method, its validation split, settings and device."""
    settings = tiny(tmp_path_factory.mktemp("runs"), val_images=6)
    run = training.run(settings)
    method, fabric = training.restore(run)
    return method, training.splits(settings)[1], settings, fabric.device


def parameters(transform):
    return vars(transform.photometry) | {n: v for n, v in vars(transform.geometry).items() if n != "rounding"}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_turns_on_its_own_parameters_and_draws_them_as_training_does(tmp_path, flag):
    settings = tiny(tmp_path, grayscale_probability=0.5)
    drawn = parameters(draw(settings, 2, INDICES, [flag]))
    still = parameters(neutral(len(INDICES)))
    epoch = settings.epochs + 2
    trained = vars(photometry.draw(settings, epoch, 1, INDICES)) | vars(geometry.draw(settings, epoch, INDICES))
    trained["sigma"] = trained["sigma"] * (32 / 48)  # drawn for the base image, applied to a smaller copy
    for name, values in drawn.items():
        np.testing.assert_array_equal(values, trained[name] if name in FLAGS[flag] else still[name], err_msg=name)
    assert any((drawn[name] != still[name]).any() for name in FLAGS[flag])


def test_crops_are_rounded_as_the_run_rounds_them(tmp_path):
    settings = tiny(tmp_path, crop_rounding="grid")
    assert draw(settings, 0, INDICES, ["random_crop"]).geometry.rounding == "grid"


def test_the_flags_are_the_published_columns_and_together_all_parameters():
    rows = supplement.published_rows()
    assert {flag for flags in rows for flag in flags} == set(FLAGS)
    assert sorted(name for names in FLAGS.values() for name in names) == sorted(parameters(neutral(1)))
    assert len(rows) == 12
    assert rows[()] == {"accuracy": 48.09, "mIoU": 13.84}
    assert rows["hflip", "random_crop"] == {"accuracy": 47.60, "mIoU": 13.76}


def test_nothing_turned_on_is_the_runs_own_score(scored):
    method, data, settings, device = scored
    found = robustness.confusion(method, data, lambda i: draw(settings, 0, i, []), device, 4)
    np.testing.assert_array_equal(found, evaluation.confusions(method, data, 4, device)["final"])


def test_labels_move_with_the_image(scored):
    """A method that reads the class off the image's colour is right wherever the crop lies."""
    _, data, settings, device = scored

    class Reads:
        def logits(self, images):
            level = images[:, :1] * 0.229 + 0.485  # undoes the normalisation of red
            steps = torch.arange(len(data.classes.names))[None, :, None, None]
            return {"final": -(level * 255 / 20 - steps).abs()}

        def clusters(self, name):
            return len(data.classes.names)

    labels = np.where(data.labels == 255, 0, data.labels)
    painted = replace(data, images=(labels[..., None] * 20).repeat(3, axis=-1).astype(np.uint8), labels=labels)
    for flags, share in ((["hflip"], 1.0), (["random_crop", "hflip"], 0.8)):
        matrix = robustness.confusion(Reads(), painted, lambda i, f=flags: draw(settings, 1, i, f), device, 4)
        assert np.trace(matrix) >= share * matrix.sum()  # bilinear against nearest: edges differ
        assert matrix.sum() == labels.size


def test_a_flip_mirrors_images_and_labels():
    pictures = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).reshape(2, 4, 4, 3)
    still = neutral(2)
    flipped = Transform(still.photometry, replace(still.geometry, flip=np.array([True, False])))
    assert flipped.moves
    assert not still.moves
    found = flipped.images(pictures)
    torch.testing.assert_close(found[0], pictures[0].flip(1), atol=1, rtol=0)
    torch.testing.assert_close(found[1], pictures[1], atol=1, rtol=0)
    maps = pictures[..., 0].numpy()
    np.testing.assert_array_equal(flipped.labels(maps), np.stack([maps[0][:, ::-1], maps[1]]))
    torch.testing.assert_close(still.images(pictures), pictures, atol=1, rtol=0)


def test_agreement_is_of_clusters_that_stay_or_move_along(scored):
    _, data, _, device = scored

    class Sees:
        """The brightness decides: equivariant, and not invariant."""

        def logits(self, images):
            level = images.mean(dim=1, keepdim=True)
            return {"final": torch.cat([level, -level], dim=1)}

        def clusters(self, name):
            return 2

    class Stands(Sees):
        """The place decides: a flip moves nothing."""

        def logits(self, images):
            across = torch.linspace(-1, 1, images.shape[-1]).expand(len(images), 1, images.shape[-1], -1)
            return {"final": torch.cat([across, -across], dim=1)}

    still = neutral(len(data))
    flipped = replace(still.geometry, flip=np.ones(len(data), dtype=bool))
    dark = replace(still.photometry, brightness=np.full(len(data), 0.05))

    def share(method, photometry=still.photometry, geometry=still.geometry):
        whole = Transform(photometry, geometry)
        found = robustness.agreement(method, data, lambda _: whole, device, len(data))
        assert found.shape == (len(data),)
        return found.mean()

    assert share(Sees()) == share(Stands()) == 100
    assert share(Sees(), geometry=flipped) > 99
    assert share(Stands(), geometry=flipped) == 0
    assert share(Stands(), photometry=dark) == 100
    assert share(Sees(), photometry=dark) < 90
    half = replace(still.geometry, flip=np.arange(len(data)) % 2 == 0)
    each = robustness.agreement(Stands(), data, lambda _: Transform(still.photometry, half), device, len(data))
    assert each.tolist() == [0, 100] * (len(data) // 2)  # image by image


def test_the_images_that_stand_for_all_are_the_middle_ones_of_equal_groups():
    shares = np.array([70.0, 10, 20, 30, 40, 50, 60, 0])
    assert shares[robustness.typical(shares, 4)].tolist() == [10, 30, 50, 70]
    assert shares[robustness.typical(shares, 1)].tolist() == [40]
    assert robustness.typical(shares[:2], 4).tolist() == [1, 1, 0, 0]  # of fewer images some stand twice


def test_the_table_has_the_papers_rows_with_mean_and_spread(scored):
    method, data, settings, device = scored
    found = robustness.table(method, data, settings, device, draws=2).set_index("row")
    assert list(found.index)[:2] == ["none", "brightness"]
    assert len(found) == 12
    assert found.loc["none", "accuracy sd":].isna().sum() == 2
    assert found["mIoU sd"].isna().sum() == 1
    assert found.loc["none", "agreement"] == 100
    assert found["agreement"].between(0, 100).all()
    assert set(found["runs"]) == {f"{records.digest(settings)}:{settings.seed}"}
    assert found.loc["contrast", "accuracy, paper"] == 48.08
    flags = ("hflip", "random_crop")
    by_hand = [
        metrics.score(robustness.confusion(method, data, lambda i, n=n: draw(settings, n, i, flags), device, 6))
        for n in (0, 1)
    ]
    assert found.loc["hflip, random_crop", "mIoU"] == pytest.approx(np.mean([s.mean_iou for s in by_hand]))
    assert found.loc["hflip, random_crop", "accuracy sd"] == pytest.approx(
        np.std([s.accuracy for s in by_hand], ddof=1)
    )


def test_the_curves_pass_through_the_score_where_nothing_is_changed(scored):
    method, data, settings, device = scored
    found = robustness.curves(method, data, settings, device)
    assert {name: tuple(group["strength"]) for name, group in found.groupby("transform")} == STRENGTHS
    score = metrics.score(evaluation.confusions(method, data, 4, device)["final"])
    for name, nothing in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", 0), ("sigma", 0), ("side", 1)):
        row = found[(found["transform"] == name) & (found["strength"] == nothing)]
        assert row[["accuracy", "mIoU"]].to_numpy().tolist() == [[score.accuracy, score.mean_iou]], name
        assert row["agreement"].item() == 100, name
    assert found["mIoU"].nunique() > 6
    still = neutral(len(data))
    dark = Transform(replace(still.photometry, brightness=np.full(len(data), 0.2)), still.geometry)
    kept = robustness.agreement(method, data, lambda _: dark, device, len(data))
    assert found["agreement"].iloc[0] == pytest.approx(kept.mean())  # of brightness 0.2
    assert kept.min() < kept.mean() < 99
    assert set(found["runs"]) == {f"{records.digest(settings)}:{settings.seed}"}


def test_a_split_without_labels_is_refused(scored):
    method, data, _, device = scored
    with pytest.raises(ValueError, match=r"has no labels: .*Give a data set with labels"):
        robustness.confusion(method, replace(data, labels=None), lambda i: neutral(len(i)), device, 4)


def test_over_seeds_by_hand():
    def one(none, blur, run):
        return pd.DataFrame(
            {
                "row": ["none", "blur"], "accuracy": [50.0, 40.0], "accuracy sd": [np.nan, 1.0],
                "accuracy, paper": [48.0, 47.0],
                "mIoU": [none, blur], "mIoU sd": [np.nan, 0.5], "mIoU, paper": [14.0, 13.5], "agreement": [100.0, blur],
                "runs": [run, run],
            }
        )  # fmt: skip

    tables = [one(20.0, 18.0, "abc:1"), one(22.0, 19.0, "abc:2"), one(24.0, 23.0, "abc:5")]
    found = robustness.over_seeds(tables)
    assert found["mIoU"].tolist() == [22.0, 20.0]
    assert found["mIoU sd"].tolist() == pytest.approx([2.0, np.std([18, 19, 23], ddof=1)])
    assert found["mIoU lost"].tolist() == [0.0, 2.0]  # 2, 3 and 1: of the same seeds
    half = 4.302652729911275 * 1.0 / np.sqrt(3)  # Student's t of 2 degrees of freedom; sd 1
    assert found[["low", "high"]].iloc[1].tolist() == pytest.approx([2 - half, 2 + half])
    assert found["mIoU lost, paper"].tolist() == [0.0, 0.5]
    assert found["agreement"].tolist() == [100.0, 20.0]
    assert found["runs"].tolist() == ["abc:1,2,5"] * 2
    alone = robustness.over_seeds(tables[:1])
    assert alone["mIoU sd"].tolist() == pytest.approx([np.nan, 0.5], nan_ok=True)
    assert alone["low"].isna().all()
