"""`page`: what is said of photographs whose clusters were counted by hand, whatever they are called."""

import dataclasses
import html
import os
import re
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from browser import chromium
from photographs import small

from picie_core import palettes, training
from picie_core.datasets import BadImages
from picie_core.segmentation import album, legend, maps, page

ODD = "Straße & <i>100% #1?.jpg"
HOSTILE = "<script>alert('\"&')</script>"


def unlabelled(run):
    return dataclasses.replace(run, confusion=None, scores=None, result={**run.result, "classes": None})


def segmented(monkeypatch, run, images, out, clusters, names=None):
    """The text of the page on which each image consists of `clusters` (H, W)."""
    monkeypatch.setattr(maps, "segment_image", lambda *args: clusters)
    return album.segment(unlabelled(run), images, out, names).read_text(encoding="utf-8")


def halves():
    """Of 40 x 25 pixels 500 are cluster 3, 490 cluster 0, 10 cluster 7 (1 %): 50, 49 and 1 %."""
    clusters = np.full((25, 40), 3, np.uint8)
    clusters.ravel()[:490], clusters.ravel()[490:500] = 0, 7
    return clusters


def texts(text, element):
    """The texts of all elements of a kind, without markup and superfluous space."""
    found = re.findall(rf"<{element}\b[^>]*>(.*?)</{element}>", text, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", inside)).split()) for inside in found]


def addresses(text):
    return {html.unescape(address) for address in re.findall(r'(?:href|src)="([^"#]+)"', text)} - {"data:,"}


# -- shares


def test_shares_counted_by_hand(tiny_run, tmp_path, monkeypatch):
    clusters = halves()
    clusters[0, 0] = 5  # a tenth of a percent
    text = segmented(monkeypatch, tiny_run, small(tmp_path / "a.jpg", (40, 25)), tmp_path / "out", clusters, {3: "sky"})
    legend_rows = texts(text, "tr")[1:]
    assert legend_rows[:5] == [
        "3 sky 50.0 % 1 show", "0 48.9 % 1 show", "7 1.0 % 1 show", "5 0.1 % 1", "1 0.0 % 0",
    ]  # fmt: skip
    assert len(legend_rows) == 12
    assert texts(text, "li") == ["3 sky 50 %", "0 49 %", "7 1 %", "1 below 1 %"]
    assert 'alt="Clusters of a.jpg: sky 50 %, cluster 0 49 %, cluster 7 1 %"' in text
    assert "4 of 12 clusters found in it" in text


def test_a_cluster_at_the_limit_is_named_and_one_below_is_counted():
    assert page.parts(np.array([990, 0, 10])) == ([(0, 99.0), (2, 1.0)], 0)
    assert page.parts(np.array([991, 0, 9])) == ([(0, 99.1)], 1)
    assert page.parts(np.array([5, 5, 0])) == ([(0, 50.0), (1, 50.0)], 0)


def test_the_legend_leads_to_the_photograph_that_a_cluster_covers_most_of(tmp_path):
    rows = legend.clusters(palettes.of_clusters(3), {}, np.array([60, 30, 10]), np.array([3, 2, 1]))
    parts = [[(0, 40.0), (1, 30.0)], [(0, 90.0)], [(1, 31.0), (0, 29.0)]]
    photos = [page.Photo(f"{n}.jpg", tmp_path / f"{n}.jpg", tmp_path / str(n), (4, 3), p, 0)
              for n, p in enumerate(parts)]  # fmt: skip
    text = page.page(tmp_path, "title", "run", rows, photos)
    assert re.findall(r'<a href="#photo-(\d)" title="(\d)\.jpg">show</a>', text) == [("1", "1"), ("2", "2")]


# -- names


def test_names_of_files_are_shown_as_they_are_and_quoted_in_links(tiny_run, tmp_path, monkeypatch):
    images, out = tmp_path / "my photos", tmp_path / "my segments"
    small(images / "Bäume" / ODD, (40, 25))
    text = segmented(monkeypatch, tiny_run, images, out, halves())
    assert "<i>" not in text
    assert html.escape(f"Bäume/{ODD}", quote=False) in text
    assert "../my%20photos/B%C3%A4ume/Stra%C3%9Fe%20%26%20%3Ci%3E100%25%20%231%3F.jpg" in addresses(text)
    assert all((out / unquote(address)).is_file() for address in addresses(text))
    assert len(addresses(text)) == 5  # photograph, overlay, map, pair, clusters.csv


def test_names_of_clusters_are_escaped_and_stand_in_legend_list_and_alternative_text(tiny_run, tmp_path, monkeypatch):
    image = small(tmp_path / "a.jpg", (40, 25))
    text = segmented(monkeypatch, tiny_run, image, tmp_path / "out", halves(), {3: HOSTILE, 0: "Gebüsch"})
    assert "<script" not in text
    assert texts(text, "li") == [f"3 {HOSTILE} 50 %", "0 Gebüsch 49 %", "7 1 %"]
    assert texts(text, "tr")[1] == f"3 {HOSTILE} 50.0 % 1 show"
    alternative = re.findall(r'alt="([^"]*)"', text)
    assert html.unescape(alternative[1]) == f"Clusters of a.jpg: {HOSTILE} 50 %, Gebüsch 49 %, cluster 7 1 %"


def test_the_page_says_how_to_name_clusters_until_all_that_were_found_have_a_name(tiny_run, tmp_path, monkeypatch):
    image, out = small(tmp_path / "a.jpg", (40, 25)), tmp_path / "out"
    text = segmented(monkeypatch, tiny_run, image, out, halves(), {3: "sky"})
    example = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert "--names names.csv" in text
    (tmp_path / "names.csv").write_text(example[1])
    assert legend.read_names(tmp_path / "names.csv", "a run") == {0: "its name", 7: "another name"}
    assert "--names" not in segmented(monkeypatch, tiny_run, image, out, halves(), {3: "sky", 0: "road", 7: "car"})


def test_a_scored_run_says_that_its_names_are_guesses(tiny_run, tmp_path, monkeypatch):
    image, out = small(tmp_path / "a.jpg", (40, 25)), tmp_path / "out"
    assert "is a guess" in album.segment(tiny_run, image, out).read_text(encoding="utf-8")
    assert "is a guess" not in segmented(monkeypatch, tiny_run, image, tmp_path / "another", halves())


@pytest.mark.skipif(os.name != "posix", reason="names of files are Unicode there")
def test_a_name_that_is_no_unicode_does_not_stop_the_page(tiny_run, tmp_path, monkeypatch):
    name = os.fsdecode(b"caf\xe9.jpg")
    text = segmented(monkeypatch, tiny_run, small(tmp_path / name, (40, 25)), tmp_path / "out", halves())
    assert "caf?.jpg" in text
    assert "../caf%E9.jpg" in addresses(text)


# -- many clusters, many photographs, none


def test_more_than_256_clusters(tiny_run, tmp_path, monkeypatch):
    class Columns:
        """300 clusters, one for each column of cells."""

        coarsest = 32

        def logits(self, images):
            columns = torch.arange(images.shape[-1] // 4).expand(images.shape[-2] // 4, -1)
            return {"final": torch.stack([-(columns - k).abs().float() for k in range(300)])[None]}

    fabric = training.restore(tiny_run)[1]
    monkeypatch.setattr(training, "restore", lambda run: (Columns(), fabric))
    run = dataclasses.replace(unlabelled(tiny_run), settings=tiny_run.settings.replace(num_clusters=300))
    wide = small(tmp_path / "wide.png", (1200, 32))
    text = album.segment(run, wide, tmp_path / "out").read_text(encoding="utf-8")
    assert len(texts(text, "tr")) == 301
    assert texts(text, "li") == ["300 below 1 %"]
    assert ".c299 { background: #" in text


def test_thousands_of_photographs_stay_light(tmp_path):
    rows = legend.clusters(palettes.of_clusters(12), {}, np.arange(12), np.arange(12))
    parts = [(k, 12.0) for k in range(8)]
    photo = page.Photo(
        "sub/photo.jpg", tmp_path / "sub" / "photo.jpg", tmp_path / "sub" / "photo", (480, 360), parts, 4
    )
    text = page.page(tmp_path, "title", "run", rows, [photo] * 3000)
    assert text.count("<img ") == text.count('loading="lazy"') == 6000
    assert "base64" not in text
    assert len(text) / 3000 < 2500


def test_names_of_damaged_files_are_escaped(tiny_run, tmp_path):
    small(tmp_path / "images" / "a.jpg")
    bad = tmp_path / "images" / "<b>.jpg"
    bad.write_bytes(b"no")
    with pytest.raises(BadImages):
        album.segment(tiny_run, tmp_path / "images", tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    assert texts(text, "li")[0] == f"{bad}: is not an image of a known format, or its header is damaged"
    assert "1 photograph," in text


@pytest.mark.parametrize(("color", "ink"), [("#ffffff", "#000"), ("#000000", "#fff"), ("#bcf60c", "#000"),
                                            ("#000075", "#fff"), ("#800000", "#fff")])  # fmt: skip
def test_numbers_can_be_read_on_their_colour(color, ink):
    assert page._ink(color) == ink


def test_a_file_on_another_drive_has_its_whole_address(tmp_path, monkeypatch):
    def relpath(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(page, "os", SimpleNamespace(path=SimpleNamespace(relpath=relpath)))
    assert page._address(tmp_path / "a b.jpg", tmp_path) == (tmp_path / "a b.jpg").as_uri()


# -- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.mark.parametrize("width", [390, 1400])
def test_it_loads_without_a_complaint_from_files_alone_and_fits(browser, tiny_run, tmp_path, width):
    images = tmp_path / "my photos"
    for name, size in (("Bäume/" + ODD, (60, 40)), ("tall.tif", (20, 300)), ("long.png", (300, 20))):
        small(images / name, size)
    (images / "a.jxl").touch()
    file = album.segment(tiny_run, images, tmp_path / "out", {0: HOSTILE, 1: "a" * 200})
    browser.open(file, width)
    broken = browser.evaluate("""Promise.all([...document.images].map(async image => {
        image.loading = "eager";
        await image.decode().catch(() => {});
        return image.complete && image.naturalWidth > 0 ? "" : image.src;
    })).then(found => found.filter(Boolean))""")
    assert broken == []
    assert browser.evaluate("document.images.length") == 6
    assert browser.problems == []
    assert {address.partition(":")[0] for address in browser.requested} <= {"file", "data"}
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    shapes = browser.evaluate("[...document.images].map(image => [image.width, image.height])")
    assert all(height <= 24 * 16 + 1 for _, height in shapes)
    assert shapes[0] == shapes[1]
    sides = browser.evaluate("[...document.images].map(image => getComputedStyle(image).objectPosition)")
    assert sides == ["0% 50%", "100% 50%"] * 3
