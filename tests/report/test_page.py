"""`report.page` and `report.folder`: what stands on it, that links lead somewhere, and that nothing breaks out."""

import html
import html.parser
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from picie_core import places
from picie_core.report import folder, page, runs

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Parsed(html.parser.HTMLParser):
    """A page's ids, links, images, scripts and rows; an element that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.images, self.scripts, self.open = [], [], [], [], []
        self.rows = []  # of all tables, as texts of cells
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.images += [given["src"]] if tag == "img" else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def sound(parsed, place):
    """Ids are unique, links and images lead to what is there, and nothing is fetched from elsewhere."""
    assert len(set(parsed.ids)) == len(parsed.ids)
    for link in [*parsed.links, *parsed.images]:
        if link.startswith("#"):
            assert link[1:] in parsed.ids, link
        else:
            assert "://" not in link
            assert (place / unquote(link)).is_file(), link
    assert len(parsed.scripts) == 1


def test_the_local_report(made):
    file = folder.local("scenes")
    assert file == made.folder / "index.html"
    text = file.read_text()
    parsed = Parsed(text)
    sound(parsed, made.folder)
    assert parsed.images == ["figures/picie-curves.png", "figures/my%20own%20%26%20only.png"]
    for link in ("tables/picie-scores.csv", "tables/my%20own%20%26%20only.csv", "notebooks/03_picie.ipynb"):
        assert link in parsed.links
    assert "Nothing was run for this table." in text
    assert text.count("This table does not say which runs it is of") == 1
    assert text.count("The table has no rows.") == 1


def test_every_row_leads_to_its_runs_and_those_to_their_folders(made):
    parsed = Parsed(folder.local("scenes").read_text())
    first, second = (f"run-{made.digest}-{seed}" for seed in (1, 2))
    assert {first, second} <= set(parsed.ids)
    assert [parsed.links.count(f"#{name}") for name in (first, second)] == [2, 1]
    assert {"../../runs/run-0/settings.yaml", "../../runs/run-1/result.json", "../../runs/run-1/00_run.ipynb"} <= set(
        parsed.links
    )
    assert not any("run-2" in link for link in parsed.links)  # of other data
    hostile, picie, chance = parsed.rows[parsed.rows.index([*HEADS, "runs"]) + 1 :][:3]
    assert hostile[-1].strip() == "1 run"
    text = " ".join(picie[-1].split())
    assert text == "3 runs, 1 not here PiCIE, seed 1 PiCIE, seed 2 run not here: digest 0123456789ab, seed 7"
    assert chance[-1] == "no run"
    row = next(row for row in parsed.rows if made.digest in row and "2" in row)
    assert {"x86_64, AVX512", "A & B <GPU>"} & set(row)
    assert "torch 2.15.0, python 3.11.7" in row
    assert "picie run 00 -p overrides={} -p seed=2" in row


HEADS = ["method", "settings", "mIoU", "accuracy mean", "spread"]  # without the column that has no value


def test_numbers_are_rounded_and_empty_columns_left_out_aloud(made):
    text = folder.local("scenes").read_text()
    rows = Parsed(text).rows
    assert [row[2:4] for row in rows[rows.index([*HEADS, "runs"]) + 1 :][:3]] == [
        ["9.00", "100.50"], ["10.25", "20"], ["-1.50", "3"],
    ]  # fmt: skip
    assert "left out here: accuracy sd." in text
    assert [page.rounded(cell) for cell in ("0.00012", "-0.0", "1e5", "3.14159", "1.2.3", "0.25", "-2.0E-9")] == [
        "1e-04", "-0.00", "1e5", "3.14", "1.2.3", "0.25", "-2e-09",
    ]  # fmt: skip


def test_hostile_text_is_shown_and_does_nothing(made):
    text = folder.local("scenes").read_text()
    assert "<script>console" not in text
    assert made.hostile in [row[0] for row in Parsed(text).rows if row]
    markdown = (made.folder / "index.md").read_text()
    (line,) = [line for line in markdown.splitlines() if "console" in line]
    assert "<" not in line
    assert len(re.findall(r"(?<!\\)\|", line)) == len(HEADS) + 2  # cells: the columns, the runs, and both ends


def test_a_hostile_name_of_a_list_does_nothing(published):
    name = 'x"><img src=x onerror=alert(1)>-runs.csv'
    (published.reports / "tables" / name).write_text("digest,seed\n")
    text = folder.committed().read_text()
    assert "<img src=x" not in text
    assert "tables/x%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E-runs.csv" in Parsed(text).links
    assert "<img src=x" not in (published.folder / "index.md").read_text()


def test_the_markdown_has_the_same_tables_and_figures(made):
    folder.local("scenes")
    text = (made.folder / "index.md").read_text()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if set(line) == set("|- ") and "---" in line:  # a table: as many cells in each row as in its head
            count = len(re.findall(r"(?<!\\)\|", line))
            block = [lines[number - 1], *lines[number:]]
            for row in block[: next((n for n, row in enumerate(block) if not row), None)]:
                assert len(re.findall(r"(?<!\\)\|", row)) == count, row
    assert f"[PiCIE, seed 2](#run-{made.digest}-2); run not here: digest 0123456789ab, seed 7" in text
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (made.folder / unquote(target)).is_file(), target
    for target in re.findall(r"\]\(#([^)]+)\)", text):
        assert f'<a id="{target}"></a>' in text


def test_the_committed_report_can_be_carried_away(published, tmp_path):
    old = published.folder / "figures" / "gone.png"
    old.parent.mkdir(parents=True)
    old.touch()
    file = folder.committed()
    assert file == published.folder / "index.html"
    assert not old.exists()
    shutil.move(published.folder, tmp_path / "elsewhere")
    shutil.rmtree(published.reports)
    parsed = Parsed((tmp_path / "elsewhere" / "index.html").read_text())
    sound(parsed, tmp_path / "elsewhere")
    assert {"tables/scenes-runs.csv", "tables/scenes-development-runs.csv"} <= set(parsed.links)
    (row,) = [row for row in parsed.rows if published.digest in row]
    assert row[5:7] == ["50.0", "20.0"]  # not of the list of development runs
    assert row[10:13] == ["not recorded"] * 3  # versions, device, folder: of an older row


def test_a_report_is_written_again_over_the_old_one(made):
    before = folder.local("scenes").read_text()
    shutil.rmtree(made.reports / "runs")
    after = folder.local("scenes").read_text()
    assert after != before
    sound(Parsed(after), made.folder)
    assert f"run not here: digest {made.digest}, seed 1" in after
    assert "No finished run is here." in after
    assert not list(made.folder.glob(".*"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"a,runs\n1,x\n", "line 2: 'x' names no runs: expected `digest:seed,seed`"),
        (b"a,b\n1\n", "line 2: 1 cells for 2 columns; make it again"),
        (b"a\n\xff\n", "it is no CSV in UTF-8 ('utf-8' codec can't decode"),
        (b'a\n"' + b"x" * 200_000 + b'"\n', "it is no CSV in UTF-8 (field larger than field limit"),
    ],
)
@pytest.mark.parametrize("place", ["local/scenes/tables/", "tables/scenes-"])
def test_an_odd_table_is_named_and_the_others_are_shown(published, place, text, fault, caplog):
    odd = Path(f"{published.reports}/{place}data-class-shares.csv")
    odd.write_bytes(text)
    file = folder.local("scenes") if place.startswith("local") else folder.committed()
    parsed = Parsed(file.read_text())
    sound(parsed, file.parent)
    assert f"This table cannot be shown: {fault}" in html.unescape(file.read_text())
    assert file.with_suffix(".md").read_text().count("This table cannot be shown: ") == 1
    assert ["class", "share", "p"] in parsed.rows  # the head of another table
    assert f"left out {odd}: {fault}" in caplog.text


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "No columns to parse"), ("a,b\n1,2\n", "it has no column digest, seed"), ("digest,seed\nd,x\n", "'x'")],
)
def test_an_odd_list_of_runs_is_named_and_the_others_are_read(published, text, fault):
    (published.reports / "tables" / "a-runs.csv").write_text(text)
    file = folder.committed()
    parsed = Parsed(file.read_text())
    sound(parsed, published.folder)
    assert f"run-{published.digest}-1" in parsed.ids
    for page_ in (file, file.with_suffix(".md")):
        (line,) = [line for line in page_.read_text().splitlines() if "a-runs.csv is left out: " in line]
        assert fault in html.unescape(line)


def test_an_empty_file_is_a_table_without_rows(tmp_path):
    (tmp_path / "empty.csv").touch()
    assert page.table(tmp_path / "empty.csv", {}).rows == []


def test_of_two_runs_of_one_seed_the_last_counts(made):
    again = made.reports / "runs" / "a-run"  # first by name, last by time
    shutil.copytree(made.reports / "runs" / "run-0", again)
    found = runs.local("scenes", set(), made.folder)
    assert found[made.digest, 1].values["folder"] == "a-run; earlier, with other threads, code or data: run-0"
    assert found[made.digest, 2].values["folder"] == "run-1"
    assert "../../runs/a-run/settings.yaml" in found[made.digest, 1].files.values()


def test_of_two_folders_of_photographs_each_report_has_its_own_runs(made, tmp_path):
    """Their settings are the same: only the place tells them apart."""
    from picie_core import records
    from picie_core.settings import Settings

    all_of_them = made.reports / "runs"
    for name in ("one", "two"):
        settings = Settings(dataset="folder", data_root=tmp_path / name, pretrained=False)
        shutil.copytree(all_of_them / "run-0", all_of_them / f"photos-{name}")
        (all_of_them / f"photos-{name}" / "settings.yaml").write_text(settings.to_yaml())
    for name in ("one", "two"):
        found = runs.local(places.data_name("folder", tmp_path / name), set(), made.folder)
        key = (records.digest(settings.replace(data_root=tmp_path / name)), 1)
        assert {known: entry.values["folder"] for known, entry in found.items()} == {key: f"photos-{name}"}
        assert found[key].values["dataset"] == places.data_name("folder", tmp_path / name)


def test_runs_of_other_data_that_a_table_names_are_there_too(made):
    from picie_core import records
    from picie_core.settings import Settings

    key = (records.digest(Settings(dataset="scenes_b")), 1)
    assert key not in runs.local("scenes", set(), made.folder)
    entry = runs.local("scenes", {key}, made.folder)[key]
    assert (entry.values["versions"], entry.values["device"]) == ("not recorded", "not recorded")
