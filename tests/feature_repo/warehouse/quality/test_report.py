"""The report is one page that holds the figures, loads nothing, and shows nothing that names a person."""

import html
import os
import re
import shutil
import subprocess
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse.quality import measure, report
from feature_repo.warehouse.quality.finding import Finding

from .conftest import NOW, OWN, Shop, rows_of, sale, sound

EVIL = "<script>alert('1')</script>"


class Reader(HTMLParser):
    """A page's tags with their attributes, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def browse(path: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    """What Chromium makes of a page. CI must have one; elsewhere the test is skipped, and says what it lacks."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        lack = "No Chromium is installed: run scripts/install_system_packages.sh."
        if os.environ.get("CI") == "true":
            pytest.fail(lack)
        pytest.skip(lack)
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        "--dump-dom",
    )
    command = [browser, *flags, f"--user-data-dir={profile}", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


@pytest.fixture
def page(shop: Shop) -> str:
    """A shop with everything wrong in it."""
    side = {"table": "transactions", "column": "amount", "by": "customer_id"}
    shop.map(checks=[{"name": f"totals {EVIL}", "left": side, "right": {"table": "customers", "by": "customer_id"}}])
    people = [
        {
            "customer_id": str(it),
            "registered_at": NOW - timedelta(days=it),
            "email": f"canary{it}@x.org",
            "illness": "canary flu",
        }
        for it in range(1, 4)
    ]
    rows = [sale(str(it % 5), f"i{it % 9}", 1.0 + it % 40, days=it % 30, store_id=EVIL) for it in range(600)]
    first = {**sound(), "customers": rows_of("customers", people, OWN), "transactions": rows_of("transactions", rows)}
    row = {
        "table": "transactions",
        "line": 7,
        "row": 6,
        "rule": EVIL,
        "column": "amount",
        "value": EVIL,
        "remedy": EVIL,
    }
    shop.load(
        first, [row, {**row, "table": "customers", "column": "email", "value": "canary@x.org"}], name=f"{EVIL}.csv"
    )
    shop.load({"transactions": first["transactions"].with_columns(pl.col("amount") * 100)}, [row])
    return report.render(measure.measure(shop.settings))


def test_it_holds_the_figures(page: str) -> None:
    text = Reader(page).text
    for figure in (
        "Data quality: Ada & Sons",
        "Load 2 · 2026-11-22 03:00 UTC",
        "rows integrated 1,205",
        "amount: new rows are distributed otherwise",
        "items sold that the catalogue lacks",
        "Landed",
        "line 7",
        "600 1,200 +600",
        "an identifier: no values are shown",
        "sensitive: no values are shown",
        "median",
    ):
        assert figure in text, figure


def test_nothing_from_the_data_becomes_markup(page: str) -> None:
    assert not any(tag == "script" for tag, _ in Reader(page).tags)
    assert page.count("&lt;script&gt;") > 8
    assert EVIL in Reader(page).text


def test_nothing_that_names_a_person_is_on_it(page: str) -> None:
    assert "canary" not in page
    assert "(hidden)" in page


def test_it_loads_nothing_and_its_links_find_what_they_name(page: str) -> None:
    tags = Reader(page).tags
    links = [value for _, attributes in tags for name in ("href", "src") if (value := attributes.get(name))]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert "url(" not in page
    assert "@import" not in page
    ids = [name for _, attributes in tags if (name := attributes.get("id"))]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    labels = {name for _, attributes in tags for name in (attributes.get("aria-labelledby") or "").split()}
    assert labels <= set(ids)


def test_every_drawing_stays_within_its_frame(page: str) -> None:
    heights = [
        float(it) for path in re.findall(r'class="bars" d="([^"]*)"', page) for it in re.findall(r"V([\d.]+)", path)
    ]
    widths = [
        float(it) for path in re.findall(r'class="bars" d="([^"]*)"', page) for it in re.findall(r"H([\d.]+)", path)
    ]
    assert heights
    assert 0 <= min(heights) <= max(heights) <= 48
    assert max(widths) <= 160.05


def test_a_refused_load_stands_first(shop: Shop) -> None:
    shop.load(sound())
    shop.load({"transactions": rows_of("transactions", [sale(item=None)])})  # type: ignore[arg-type]
    text = Reader(report.render(measure.measure(shop.settings))).text
    assert "A later load was refused" in text
    assert re.search(r"rows break\s+missing: item_id", text), "the rule stands as code, without back-ticks"


def test_a_sound_first_load_says_so(shop: Shop) -> None:
    shop.keep(sound())
    quality = measure.measure(shop.settings)
    quality = msgspec.structs.replace(quality, findings=())
    text = Reader(report.render(quality)).text
    assert "Nothing was found wrong." in text
    assert "No row is kept out." in text
    assert "This is the first load" in text


def test_long_lists_are_cut_and_counted(shop: Shop) -> None:
    shop.keep(sound())
    quality = measure.measure(shop.settings)
    files = tuple(measure.FileRejection("items", f"f{it}.csv", "r", it + 1) for it in range(40))
    quality = msgspec.structs.replace(quality, files=files)
    text = Reader(report.render(quality)).text
    assert "f39. csv" in text
    assert "f9. csv" not in text
    assert "10 more files." in text


def test_it_is_written_whole_and_read_by_a_browser_without_a_request(page: str, shop: Shop, tmp_path: Path) -> None:
    """Chromium prints the page's text; the page's own policy would refuse whatever it asked for."""
    path = report.write(measure.measure(shop.settings), tmp_path / "a folder" / "report.html")
    assert path.read_text(encoding="utf-8") == page
    told = browse(path, tmp_path / "profile")
    assert Reader(told.stdout).text == Reader(page).text
    assert "Refused to" not in told.stderr


def test_nothing_is_wider_than_a_phone_or_a_desktop(page: str, tmp_path: Path) -> None:
    """Frames of both widths, since a window cannot be narrower than 500 px."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(page)}"></iframe>'
        for width in (390, 1440)
    )
    measured = """<pre id="out"></pre><script>addEventListener('load', () => {
      document.getElementById('out').textContent = [...document.querySelectorAll('iframe')].map(frame =>
        frame.contentDocument.documentElement.scrollWidth + '/' + frame.contentWindow.innerWidth).join(' ')
      })</script>"""
    (tmp_path / "frames.html").write_text(f"<!doctype html><meta charset=utf-8>{frames}{measured}", encoding="utf-8")
    told = browse(tmp_path / "frames.html", tmp_path / "profile")
    found = re.search(r'<pre id="out">([^<]*)</pre>', told.stdout)
    assert found is not None
    assert found[1] == "390/390 1440/1440"


def test_a_finding_s_words_are_kept_whole(shop: Shop) -> None:
    """No break is put into a value: what is copied from the page is what was found."""
    shop.keep(sound())
    quality = measure.measure(shop.settings)
    finding = Finding("warn", "items", "what/it_is", "1.5 of 3_000", "Do a/b.")
    quality = msgspec.structs.replace(quality, findings=(finding,))
    assert "1.5 of 3_000" in report.render(quality)
