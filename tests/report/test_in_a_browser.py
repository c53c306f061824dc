"""The report in a real browser: it loads without a complaint or a network, fits a phone, and its tables sort."""

import pytest
from browser import chromium

from picie_core.report import folder

COLUMN = """[...document.querySelectorAll("table.sortable")]
    .find(t => t.tHead.textContent.includes("spread")).closest("table")"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(browser):
    browser.problems.clear()
    browser.requested.clear()
    return browser


def cells(page, number):
    """The texts of a column of the table of scores, from top to bottom."""
    return page.evaluate(f"[...{COLUMN}.tBodies[0].rows].map(row => row.cells[{number}].textContent.trim())")


def head(page, number):
    return f"{COLUMN}.tHead.rows[0].cells[{number}]"


@pytest.mark.parametrize("kind", ["local", "committed"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_loads_without_a_complaint_from_files_alone_and_fits(page, made, published, kind, width):
    page.open(folder.local("scenes") if kind == "local" else folder.committed(), width)
    broken = page.evaluate("""Promise.all([...document.images].map(async image => {
        image.loading = "eager";
        await image.decode().catch(() => {});
        return image.complete && image.naturalWidth > 0 ? "" : image.src;
    })).then(found => found.filter(Boolean))""")
    assert broken == []
    assert page.evaluate("document.images.length") == 2
    assert page.problems == []
    assert {address.partition(":")[0] for address in page.requested} <= {"file", "data"}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.clientWidth") == width


def test_a_wide_table_scrolls_in_its_own_box(page, made):
    page.open(folder.local("scenes"), 390)
    boxes = page.evaluate("[...document.querySelectorAll('.scroll')].map(b => [b.scrollWidth, b.clientWidth])")
    assert any(inside > outside for inside, outside in boxes)
    assert all(outside <= 390 for _, outside in boxes)


def test_tables_sort_by_number_and_by_text_both_ways(page, made):
    page.open(folder.local("scenes"))
    for column, ascending in [
        (2, ["-1.50", "9.00", "10.25"]),
        (3, ["3", "20", "100.50"]),
        (4, ["9.5 ± 0.1 [9.4 9.6]", "13.5 ± 0.4 [13.1 13.9]", ""]),  # by the leading number; without one: last
        (0, [made.hostile, "PiCIE", "random"]),
    ]:
        page.evaluate(f"{head(page, column)}.querySelector('button').click()")
        assert cells(page, column) == ascending
        assert page.evaluate(f"{head(page, column)}.getAttribute('aria-sort')") == "ascending"
        page.evaluate(f"{head(page, column)}.querySelector('button').click()")
        assert cells(page, column) == [*filter(None, ascending[::-1]), *[""] * ascending.count("")]
        assert page.evaluate(f"{head(page, column)}.getAttribute('aria-sort')") == "descending"
        assert page.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
    assert page.problems == []


def test_tables_sort_from_the_keyboard(page, made):
    page.open(folder.local("scenes"))
    page.evaluate(f"{head(page, 2)}.querySelector('button').focus()")
    page.press("Enter")
    assert cells(page, 2) == ["-1.50", "9.00", "10.25"]


def test_a_link_leads_to_the_run(page, made):
    page.open(folder.local("scenes"))
    page.evaluate("document.querySelector('details summary').click()")
    page.evaluate(f"document.querySelector('details a[href=\"#run-{made.digest}-2\"]').click()")
    assert page.evaluate("document.querySelector('tr:target').textContent.includes('A & B <GPU>')")


def test_without_scripts_it_is_a_page_of_plain_tables(page, made):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(folder.local("scenes"))
        assert page.evaluate("document.querySelectorAll('button').length") == 0
        assert cells(page, 2) == ["9.00", "10.25", "-1.50"]
        assert page.problems == []
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
