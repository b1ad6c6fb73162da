"""`motherlode materialize`: into what is read, into a shadow, back again; and `motherlode plan` before it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo import store
from feature_repo.features import catalogue
from feature_repo.features.view import Words
from feature_repo.mart import manifest
from feature_repo.mart.manifest import Built, Manifest, Piece
from motherlode import audit, names
from motherlode.cli.main import main
from motherlode.online import live
from motherlode.online.keys import complete_key
from motherlode.packed import FORMAT_VERSION
from motherlode.packed.header import FORM
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

N = 150
AT = datetime.now(UTC) - timedelta(hours=3)
TIME = pl.Datetime("us", "UTC")
WORDS = Words(departments={}, campaign_types={}, channels={}, attributes={}, purposes=())
RFM = next(view for view in catalogue.views(WORDS) if view.name == names.RFM)


def write(settings: Settings, recency: pl.Expr) -> None:
    """Each view of the catalogue empty but for `rfm`, whose recency is given."""
    keys = pl.DataFrame({RFM.key: [f"{i}" for i in range(N)]})
    features = {name: pl.lit(1).cast(dtype) for name, dtype in RFM.features.items()}
    frame = keys.with_columns(
        pl.lit(AT, TIME).alias(names.EVENT_TIMESTAMP),
        pl.lit(AT, TIME).alias(names.CREATED_TIMESTAMP),
        **{**features, "recency_days": recency.cast(RFM.features["recency_days"])},
    )
    (settings.mart / "rfm").mkdir(parents=True, exist_ok=True)
    frame.write_parquet(settings.mart / "rfm" / "1.parquet")
    piece = Piece(path="rfm/1.parquet", partition=0, era="2024-01", rows=N, sha256="")
    built = {
        view.name: Built(view=view.name, code="", pieces=(), rows=0, created_at=AT, seconds=0.0)
        for view in catalogue.views(WORDS)
    }
    built["rfm"] = msgspec.structs.replace(built["rfm"], pieces=(piece,), rows=N)
    manifest.write(settings, Manifest(words=WORDS, views=built))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("a home"))) as bound:
        write(bound, pl.int_range(N))
        store.apply(bound)
        yield bound


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("REDIS_URL", raising=False)

    def ran(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--home", str(settings.home)])
        printed = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, printed.out, printed.err

    return ran


def generation(settings: Settings) -> int:
    with connect(settings) as client:
        return live.read(client, settings.project).generation("rfm")


def test_the_way_of_a_new_generation(settings: Settings, run: Any) -> None:
    """Plan, write, a shadow that is alike, one that is not, by force, and back."""
    code, shown, _ = run("plan", "--json")
    planned = json.loads(shown)
    assert (code, planned["rows"], planned["kind"]) == (0, N, "incremental")
    assert planned["bytes"] > N * 100

    code, shown, _ = run("materialize")
    assert code == 0
    assert f"rfm: {N} rows" in shown and f"{N} rows sent in {len(catalogue.views(WORDS))} views." in shown

    code, shown, _ = run("materialize", "--shadow")
    assert (code, generation(settings)) == (0, 1)
    assert "alike" in shown and "views were flipped to their new generations" in shown
    assert max(map(len, shown.splitlines())) <= 100

    write(settings, pl.int_range(N) * 50)
    code, shown, _ = run("materialize", "--shadow", "rfm")
    assert (code, generation(settings)) == (1, 1)
    assert "refused" in shown and "feature 'recency_days' differs in 99.3% of rows with the same times" in shown
    assert "Nothing was flipped" in shown

    code, shown, _ = run("materialize", "--shadow", "rfm", "--force", "--json")
    told = json.loads(shown)
    assert (code, told["flipped"], told["forced"], generation(settings)) == (0, True, True, 3)

    code, shown, _ = run("materialize", "--rollback", "rfm")
    assert (code, generation(settings)) == (0, 1)
    assert "rfm: generation 1 is read again." in shown

    code, shown, _ = run("materialize", "--drop-previous")
    assert (code, shown) == (0, f"{N} rows of previous generations were removed.\n")
    assert [entry.action for entry in audit.read(settings)] == ["flip", "flip", "rollback"]


def test_upgrade_sends_rows_of_another_format_again(settings: Settings, run: Any) -> None:
    run("materialize", "rfm")
    with connect(settings) as client:
        read = live.read(client, settings.project).generation("rfm")
        rows = list(client.scan_iter(f"{settings.project}/rfm/{read}/*"))
        for row in rows:
            client.setrange(row, FORM, bytes([FORMAT_VERSION - 1]))
        mark = complete_key(settings.project, "rfm", read)
        client.set(mark, client.get(mark).removeprefix(f"{FORMAT_VERSION}-".encode()))
        code, shown, _ = run("upgrade", "--dry-run")
        assert (code, shown.split(":")[0]) == (0, "Online rows of rfm are of another version's format")
        code, shown, _ = run("upgrade")
        assert code == 0 and "sent again" in shown
        assert len(rows) == N and {client.getrange(row, FORM, FORM)[0] % 16 for row in rows} == {FORMAT_VERSION}
    assert "there is nothing to upgrade" in " ".join(run("upgrade")[1].split())


def test_a_plan_is_a_table_that_fits(run: Any) -> None:
    code, shown, _ = run("plan", "--shadow", "rfm")
    assert code == 0
    assert "Plan: all there is, beside what is read" in shown and f"{N} rows in about" in shown
    assert max(map(len, shown.splitlines()[:4])) <= 100


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("materialize", "--shadow", "--rollback"), 2, "three things: give one"),
        (("materialize", "--force"), 2, "belong to --shadow"),
        (("plan", "--full", "--shadow"), 2, "two things: give one"),
        (("materialize", "rfn"), 1, "There is no view 'rfn' to materialise."),
        (("plan", "rfn"), 1, "There is no view 'rfn' to materialise."),
        (("materialize", "--rollback", "spending"), 1, "View 'spending' has no generation to roll back to."),
    ],
)
def test_what_cannot_be_done_is_said(run: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    left, _, error = run(*arguments)
    assert left == code
    assert said in error
