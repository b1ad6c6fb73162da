"""Rows under previous pseudonym keys go, those under the new one stay."""

from dataclasses import replace
from pathlib import Path

from feature_repo.erasure import renamed
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

VIEW = Target("rfm", owned=True)


def test_a_new_key_leaves_no_row_of_the_old_one(tmp_path: Path) -> None:
    old = Settings(home=tmp_path / "home", pseudonym_key="the key that was before")
    outside = ["7", "8", "9"]
    with running(old) as bound, connect(bound) as client:
        new = replace(
            bound, pseudonym_key="the key that comes after", previous_pseudonym_keys=(old.pseudonym_key or "",)
        )
        writer = OnlineWriter(client, old.project, Tombstones(old).of_entity)
        writer.declare(Schema("rfm", (Column("x", "int64"),)), VIEW)
        new_keys = new.identity.join_keys_of(outside)
        for key in (*old.identity.join_keys_of(outside), *new_keys):
            writer.write(VIEW, [key], [bytes(40)])
        assert renamed.remove(new, outside) == 3
        left = {key.decode().partition("}")[2] for key in client.scan_iter(f"{old.project}/rfm/*")}
        assert left == set(new_keys)
        assert renamed.remove(new, outside) == 0, "and once more changes nothing"
