"""Where trusted keys are named, nothing serves that none of them signed: at the start, at a change, when published."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from motherlode import bundle, bundles, signing
from motherlode.errors import BundleError
from motherlode.manifest import MANIFEST, MANIFEST_DIGEST, POPULAR
from motherlode.settings import Settings
from serving.live import Live
from serving.reading import connect
from training import publish

if TYPE_CHECKING:
    from tests.serving.conftest import Company

OURS, THEIRS = "01" * 32, "02" * 32


@pytest.fixture
def settings(company: "Company") -> Settings:
    """Of a server that trusts our key alone; `v1` is not signed."""
    return replace(company.settings, trusted_keys=signing.public_key(OURS))


def test_a_bundle_that_nobody_signed_does_not_start_and_a_signed_one_does(settings: Settings) -> None:
    folder = settings.models / "v1"
    assert bundle.load(folder).manifest.version == "v1", "without trusted keys nothing changes"
    with pytest.raises(BundleError, match="v1 is not signed"):
        bundle.load(folder, settings.trusted_keys)
    with pytest.raises(BundleError, match="v1 is not signed"):
        Live(settings, connect(settings))
    bundle.sign(folder, OURS)
    assert Live(settings, connect(settings)).engine.version == "v1"


def _swap_manifest(folder: Path) -> None:
    """As somebody would who can write there and knows how the digest is made, but has no key."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    (folder / POPULAR).write_bytes(b'{"overall": [], "by_segment": {}}')
    manifest["files"][POPULAR] = hashlib.sha256((folder / POPULAR).read_bytes()).hexdigest()
    content = msgspec.json.encode(manifest)
    (folder / MANIFEST).write_bytes(content)
    (folder / MANIFEST_DIGEST).write_text(hashlib.sha256(content).hexdigest() + "\n")


def test_what_was_not_verified_is_not_signed(settings: Settings) -> None:
    """Somebody puts another manifest there between the look at it and the signature."""
    folder = settings.models / "v1"
    verified = bundle.read_manifest(folder)
    _swap_manifest(folder)
    with pytest.raises(BundleError, match="v1 was changed while it was published"):
        bundle.sign(folder, OURS, verified)
    assert not (folder / signing.SIGNATURE).exists()


def _other_key(folder: Path) -> None:
    bundle.sign(folder, THEIRS)


def _nobody(folder: Path) -> None:
    (folder / signing.SIGNATURE).unlink()


def _anothers(folder: Path) -> None:
    (folder / signing.SIGNATURE).write_bytes((folder.parent / "v1" / signing.SIGNATURE).read_bytes())


def _flip(folder: Path) -> None:
    content = bytearray((folder / "segments.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "segments.onnx").write_bytes(content)


@pytest.mark.parametrize("harm", [_swap_manifest, _other_key, _nobody, _anothers, _flip])
def test_a_newer_bundle_that_is_not_ours_is_refused_and_the_old_one_serves_on(
    company: "Company", settings: Settings, harm: object
) -> None:
    assert callable(harm)
    bundle.sign(settings.models / "v1", OURS)
    folder = company.publish("v2", shift=0.5)
    bundle.sign(folder, OURS)
    harm(folder)

    async def run() -> None:
        client = connect(settings)
        bundles.flip(settings.models, "v1")
        served = Live(settings, client)
        bundles.flip(settings.models, "v2")
        await served.refresh()
        assert served.refused is not None
        assert served.engine.version == "v1"
        await client.aclose()

    asyncio.run(run())


def test_publish_signs_with_the_key_it_is_given_and_refuses_what_would_not_serve(
    company: "Company", settings: Settings
) -> None:
    company.publish("v2")
    bundles.flip(settings.models, "v1")
    with pytest.raises(BundleError, match="v2 is not signed"):
        publish.publish(settings, "v2")
    with pytest.raises(BundleError, match="is signed by the key"):
        publish.publish(replace(settings, signing_key=THEIRS), "v2")
    assert bundles.current(settings.models).name == "v1"
    publish.publish(replace(settings, signing_key=OURS), "v2")
    assert bundles.current(settings.models).name == "v2"
    assert bundle.load(settings.models / "v2", settings.trusted_keys).manifest.version == "v2"


def test_nothing_is_signed_that_was_changed_since_it_was_made(company: "Company", settings: Settings) -> None:
    folder = company.publish("v2")
    _flip(folder)
    with pytest.raises(BundleError, match="not the file that was published"):
        publish.publish(replace(settings, signing_key=OURS), "v2")
    assert not (folder / signing.SIGNATURE).exists()
