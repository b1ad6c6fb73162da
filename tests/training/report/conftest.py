"""A report to render, and a headless Chromium to read it: spoken to over a pipe, no port, no driver, no library."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motherlode import names
from motherlode.manifest import Quality, Segment
from training.evaluate import Curves, Evidence
from training.report import Plane, Profile, ReportData, distribution

FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root, where Chromium's sandbox refuses to start.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE_S = 12.0
# The protocol's pipe is file descriptors 3 and 4 of the browser, whatever numbers ours have.
BECOME = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, place in zip(ours, (3, 4)):
    os.dup2(number, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def executable() -> str | None:
    """Where Chromium is, or None."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Page:
    """One open tab, which keeps every event that it was told of."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._buffer = b""
        self._calls = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer."""
        self._calls += 1
        message: dict[str, Any] = {"id": self._calls, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._calls:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, path: Path, width: int, height: int = 900, scheme: str = "light") -> None:
        """Opens a file at a screen's width, a phone's below 600, and waits until it is laid out."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen = len(self.events)
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events[seen:]):
            self._read()

    def value(self, expression: str) -> Any:
        """What a JavaScript expression yields on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def told(self, method: str) -> list[dict[str, Any]]:
        """The parameters of every event of a kind."""
        return [event["params"] for event in self.events if event["method"] == method]

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], PATIENCE_S)
            assert ready, f"Chromium said nothing for {PATIENCE_S} s."
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "Chromium is gone."
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def opened(path: str) -> Iterator[Page]:
    """A fresh Chromium with one tab; it is ended, and its profile removed, however the block ends."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", BECOME, str(to_read), str(from_write), path, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        try:
            yield Page(to_write, from_read)
        finally:
            os.close(to_write)
            os.close(from_read)
            process.terminate()
            process.wait(timeout=PATIENCE_S)


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    """A tab of a real Chromium. CI must have one; elsewhere the test is skipped, and says what it lacks."""
    path = executable()
    if path is None:
        lack = "No Chromium is installed: run scripts/install_system_packages.sh."
        if os.environ.get("CI") == "true":
            pytest.fail(lack)
        pytest.skip(lack)
    with opened(path) as page:
        yield page


CUSTOMERS = 2_500
FEATURES = {
    "rfm": ("recency_days", "frequency_28d", "monetary_84d", "recency_score"),
    "spending": ("basket_value_mean", "weekend_share", "trend_4w_12w"),
    "price_sensitivity": ("discount_line_share", "coupon_amount_84d", "private_label_share"),
}


def rising(power: float) -> tuple[Any, Any]:
    """A gains curve: contacted and reached."""
    contacted = np.linspace(0.0, 1.0, CUSTOMERS + 1)
    return contacted, 1.0 - (1.0 - contacted) ** power


@pytest.fixture
def data() -> ReportData:
    """A report's data of a real one's size, with a baseline that wins, one level, and a feature without values."""
    random = np.random.default_rng(7)
    labels = random.choice(4, CUSTOMERS, p=(0.4, 0.3, 0.2, 0.1))
    centres = np.array([[0.0, 0.0], [3.0, 1.0], [-2.0, 2.0], [1.0, -3.0]])
    points = centres[labels] + random.normal(0.0, 0.9, (CUSTOMERS, 2))
    named = [(view, feature) for view, features in FEATURES.items() for feature in features]
    distributions = [distribution(*names, random.gamma(2.0, 30.0, CUSTOMERS)) for names in named]
    distributions.append(distribution("rfm", "never_seen", np.full(CUSTOMERS, np.nan)))
    titles = ("Steady regulars", "Big spenders", "Lapsing", "Coupon hunters")
    return ReportData(
        title="Complete Journey",
        provenance={"Bundle": "20261122T021804Z", "Trained on": "CPU: no GPU was found", "Fingerprint": "9f86d0" * 10},
        libraries={"numpy": "2.4.6", "torch": "2.13.0"},
        quality=(
            Quality(names.RESPONSE, "AUC", 0.812, 0.006, "past coupon use", 0.774),
            Quality(names.INACTIVE_28D, "AUC", 0.871, 0.001, "recency alone", 0.884),
            Quality(names.INACTIVE_28D, "Brier score", 0.09, None, "the base rate", 0.12, higher_is_better=False),
            Quality(names.USER_TOWER, "recall@10", 0.137, 0.001, "the customer's most bought items", 0.128),
            Quality(names.USER_TOWER, "recall@10", 0.137, 0.001, "most bought overall", 0.048),
        ),
        segments=tuple(
            Segment(
                place, title, float((labels == place).mean()), f"{title} in a sentence.", int((labels == place).sum())
            )
            for place, title in enumerate(titles)
        ),
        plane=Plane(points, labels, (0.31, 0.17)),
        profile=Profile(tuple(feature for _, feature in named), random.normal(0.0, 0.8, (4, len(named)))),
        evidence={
            names.RESPONSE: Evidence(
                curves("past coupon use", 0.4),
                (("campaign_history.responses_total", 0.081), ("rfm.recency_days", 0.012), ("rfm.noise", -0.001)),
                "boosted trees of depth 3",
                (Quality(names.RESPONSE, "AUC, campaign by campaign", 0.79, 0.01, "past coupon use", 0.75),),
            ),
            names.INACTIVE_28D: Evidence(curves("recency alone", 0.9), (), "logistic regression"),
        },
        distributions=tuple(distributions),
    )


def curves(baseline: str, top: float) -> Curves:
    """A classifier's curves, nearly calibrated."""
    predicted = np.linspace(0.02, top, 10)
    observed = np.clip(predicted + np.random.default_rng(1).normal(0.0, 0.02, 10), 0.0, 1.0)
    contacted, reached = rising(4.0)
    baseline_contacted, baseline_reached = rising(2.5)
    return Curves(
        contacted, reached, baseline, baseline_contacted, baseline_reached, predicted, observed, np.full(10, 250)
    )
