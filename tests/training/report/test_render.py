"""The report is one page that holds everything it shows, and says where a baseline wins."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from motherlode import names
from motherlode.manifest import Quality, Segment
from training.report import Plane, ReportData, distribution, render
from training.report.render import badge

MEGABYTE = 1e6


class Reader(HTMLParser):
    """What a page holds: its tags with their attributes, and its words."""

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


def test_the_page_refers_to_nothing_outside_itself(data: ReportData) -> None:
    page = render(data)
    assert "//" not in page.replace("/* ", "").replace(" */", "")
    assert "url(" not in page
    assert "@import" not in page
    links = [
        value for _, attributes in Reader(page).tags for name in ("href", "src") if (value := attributes.get(name))
    ]
    assert links
    assert all(link.startswith("#") or link == "data:," for link in links)


def test_every_link_and_label_finds_what_it_names_and_no_name_is_taken_twice(data: ReportData) -> None:
    tags = Reader(render(data)).tags
    ids = [name for _, attributes in tags if (name := attributes.get("id"))]
    assert len(ids) == len(set(ids))
    targets = {link[1:] for _, attributes in tags if (link := attributes.get("href") or "").startswith("#")}
    labels = {name for _, attributes in tags for name in (attributes.get("aria-labelledby") or "").split()}
    assert targets | labels <= set(ids)
    assert targets >= {"quality", "segments", "response", "inactive-28d", "recommendations", "features", "provenance"}


def test_every_text_from_outside_is_escaped(data: ReportData) -> None:
    """A segment, a feature, a metric or a device's reason may hold anything."""
    evil = '<script>alert("1")</script>'
    hostile = replace(
        data,
        title=evil,
        provenance={evil: evil},
        libraries={evil: evil},
        quality=(Quality(evil, evil, 1.0, None, evil, 0.5), Quality(names.USER_TOWER, evil, 1.0, None, evil, 0.5)),
        segments=tuple(Segment(segment.id, evil, segment.share, evil, segment.customers) for segment in data.segments),
        profile=replace(data.profile, features=tuple(evil for _ in data.profile.features)),
        evidence={
            name: replace(
                evidence, curves=replace(evidence.curves, baseline=evil), recipe=evil, importance=((evil, 1.0),)
            )
            for name, evidence in data.evidence.items()
        },
        distributions=(distribution(evil, evil, np.arange(9.0)),),
    )
    page = render(hostile)
    assert not any(tag == "script" for tag, _ in Reader(page).tags)
    assert page.count("&lt;") > 20


@pytest.mark.parametrize(
    ("value", "baseline", "spread", "higher", "says"),
    [
        (0.8, 0.7, 0.01, True, "model wins"),
        (0.7, 0.8, 0.01, True, "baseline wins"),
        (0.7, 0.8, None, True, "baseline wins"),
        (0.8, 0.7, 0.01, False, "baseline wins"),
        (0.7, 0.8, None, False, "model wins"),
        (0.71, 0.7, 0.02, True, "model ahead, within the noise"),
        (0.69, 0.7, 0.02, True, "baseline ahead, within the noise"),
        (0.7, 0.7, 0.02, True, "level"),
    ],
)
def test_the_verdict_names_the_winner(
    value: float, baseline: float, spread: float | None, higher: bool, says: str
) -> None:
    assert Quality("m", "AUC", value, spread, "b", baseline, higher).verdict == says


def test_a_gain_below_two_standard_errors_is_no_win() -> None:
    quality = Quality("m", "AUC", 0.71, None, "b", 0.7, error=0.006)
    assert (quality.verdict, badge(quality)) == ("model ahead, within the noise", "level")
    assert badge(Quality("m", "AUC", 0.72, None, "b", 0.7, error=0.006)) == "wins"


def test_where_a_baseline_wins_the_page_says_so(data: ReportData) -> None:
    text = Reader(render(data)).text
    assert "recency alone 0.884 −0.013 baseline wins" in text
    assert "4 of 5" in text or "figures beat their baseline 4 of 5" in text


def test_every_segment_has_its_name_its_size_and_its_column(data: ReportData) -> None:
    reader = Reader(render(data))
    for place, segment in enumerate(data.segments, 1):
        assert segment.name in reader.text
        assert segment.description in reader.text
        assert f"{int((data.plane.labels == segment.id).sum()):,} customers" in reader.text
        assert f" {place} {segment.name} " in reader.text
    for feature in data.profile.features:
        assert feature in reader.text.replace("_ ", "_")


def test_recommendations_stand_beside_each_of_their_baselines_once_a_metric(data: ReportData) -> None:
    page = render(data)
    section = page[page.index('id="recommendations"') : page.index('id="features"')]
    bars = re.findall(r"--length:([\d.]+)%", section)
    assert [float(bar) for bar in bars] == [100.0, 93.4, 35.0]
    assert "most bought overall" in section


def test_a_feature_without_values_is_named_and_not_drawn(data: ReportData) -> None:
    text = Reader(render(data)).text.replace("_ ", "_")
    assert "never_seen no customer has a value" in text


def test_every_drawing_is_preceded_by_how_to_read_it_and_described_for_who_cannot_see_it(data: ReportData) -> None:
    page = render(data)
    for piece in page.split("<svg")[1:]:
        if "aria-hidden" not in piece[:60]:
            assert re.search(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]+</desc>", piece)
    for section in page.split("<section")[1:]:
        assert 'class="read"' in section


def test_a_page_of_a_demos_size_stays_below_two_megabytes(data: ReportData) -> None:
    random = np.random.default_rng(0)
    many = tuple(distribution("view", f"feature_{place}", random.normal(size=2500)) for place in range(80))
    assert len(render(replace(data, distributions=many)).encode()) < MEGABYTE
    points = random.normal(size=(200_000, 2))
    crowd = Plane(points, random.integers(0, 4, len(points)), (0.3, 0.2))
    page = render(replace(data, plane=crowd))
    assert len(page.encode()) < MEGABYTE
    assert "customers are drawn, chosen by chance" in page


def test_a_bundle_without_classifiers_or_recommender_has_no_empty_sections(data: ReportData) -> None:
    page = render(replace(data, evidence={}, quality=data.quality[:1]))
    assert 'id="recommendations"' not in page
    assert "Lift" not in page
