"""The report in a real Chromium, at a desktop's and a phone's width, in both colour schemes."""

from pathlib import Path
from typing import Any

import pytest

from training.report import ReportData, render

DESKTOP, PHONE = 1440, 390
SMALLEST_LETTERS_PX = 11.0
LEAST_CONTRAST = 4.5

OVERFLOW = """[document.documentElement.scrollWidth, document.documentElement.clientWidth]"""
# The size of a drawing's letters on the screen: their own size times the drawing's scale.
LETTERS = """Math.min(...[...document.querySelectorAll('main svg text')].map(text =>
  parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getBoundingClientRect().width
  / text.ownerSVGElement.viewBox.baseVal.width))"""
# Letters that leave their drawing are cut off.
CUT_OFF = """[...document.querySelectorAll('main svg text')].filter(text => {
  const letters = text.getBoundingClientRect(), drawing = text.ownerSVGElement.getBoundingClientRect();
  return letters.left < drawing.left - 1 || letters.right > drawing.right + 1 || letters.bottom > drawing.bottom + 1;
}).map(text => text.textContent)"""
# WCAG 2.2, 1.4.3: the ratio of the relative luminances of letters and the nearest painted ground behind them.
CONTRASTS = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map(part => part / 255); };
  const over = (top, ground) => [0, 1, 2].map(i => top[i] * top[3] + ground[i] * (1 - top[3]));
  const ground = element => { if (!element) return [1, 1, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] == 1 ? own.slice(0, 3) : over(own, ground(element.parentElement)); };
  const light = colour => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight *
    (colour[i] <= 0.04045 ? colour[i] / 12.92 : ((colour[i] + 0.055) / 1.055) ** 2.4), 0);
  return [...document.querySelectorAll('p, td, th, dd, dt, a, h1, h2, h3, small, span.badge, .verdict, .key, li')]
    .filter(element => element.innerText && element.checkVisibility())
    .map(element => { const behind = ground(element);
      const letters = over(rgba(getComputedStyle(element).color), behind);
      const [dark, bright] = [light(letters), light(behind)].sort((a, b) => a - b);
      return [(bright + 0.05) / (dark + 0.05), element.innerText.slice(0, 40)]; })
    .sort((a, b) => a[0] - b[0])[0];
})()"""


@pytest.fixture
def page(data: ReportData, tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = folder / "report.html"
    path.write_text(render(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_whole_legible_and_quiet(browser: Any, page: Path, width: int, scheme: str) -> None:
    """No complaint, no request but the page itself, nothing wider than the screen, no letter cut off or too faint."""
    del browser.events[:]
    browser.open(page, width, scheme=scheme)
    content, screen = browser.value(OVERFLOW)
    assert (content, screen) == (width, width), "the page scrolls sideways"
    assert browser.value("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
    assert browser.value("document.querySelectorAll('details').forEach(fold => fold.open = true)") is None
    assert browser.value("document.documentElement.scrollWidth") == width, "a fold opens wider than the screen"
    assert browser.value(LETTERS) >= SMALLEST_LETTERS_PX
    assert browser.value(CUT_OFF) == []
    contrast, words = browser.value(CONTRASTS)
    assert contrast >= LEAST_CONTRAST, words
    assert [request["request"]["url"] for request in browser.told("Network.requestWillBeSent")] == [page.as_uri()]
    assert browser.told("Runtime.consoleAPICalled") == []
    assert browser.told("Runtime.exceptionThrown") == []
    assert browser.told("Log.entryAdded") == []


def test_a_reader_of_the_screen_hears_what_each_drawing_shows(browser: Any, page: Path) -> None:
    browser.open(page, DESKTOP)
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    images = [node for node in nodes if node.get("role", {}).get("value") in ("image", "img")]
    names = [node["name"]["value"] for node in images]
    assert len(names) == browser.value("document.querySelectorAll('main svg').length")
    assert any("Contacting 20" in name for name in names)
    assert all(names)


def test_the_browser_itself_refuses_a_request_that_slips_in(browser: Any, data: ReportData, tmp_path: Path) -> None:
    """The page's content policy is live: a stray image is not fetched, and is complained of."""
    path = tmp_path / "report.html"
    stray = '<img src="http://127.0.0.1:9/stray.png">'
    path.write_text(render(data).replace("</main>", f"{stray}</main>"), encoding="utf-8")
    del browser.events[:]
    browser.open(path, DESKTOP)
    complaints = " ".join(entry["entry"]["text"] for entry in browser.told("Log.entryAdded"))
    assert "Content Security Policy" in complaints
    assert not browser.told("Network.responseReceived")[1:]
