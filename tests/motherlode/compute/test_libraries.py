"""What is installed is read from metadata; whether it can use a GPU is said library by library."""

from pathlib import Path

import numpy
import pytest

from motherlode.compute.libraries import installed, lacking_for_serving, lacking_for_training, versions


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that is looked at before the installed ones."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, name: str, version: str, module: str | None = None) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if module:
        (site / module).mkdir()
        (site / module / "__init__.py").write_text("raise RuntimeError('nobody may import it')")


def test_versions_are_those_installed_and_none_for_the_others() -> None:
    assert versions(["numpy", "no-such-distribution"]) == {"numpy": numpy.__version__, "no-such-distribution": None}


def test_training_lacks_nothing_where_all_of_it_is_built_for_a_gpu(site: Path) -> None:
    install(site, "cudf-polars-cu13", "26.6.0", "cudf_polars")
    install(site, "cuml-cu13", "26.6.0", "cuml")
    install(site, "torch", "2.13.0")
    assert installed("xgboost")
    assert lacking_for_training() is None


def test_a_torch_for_the_cpu_is_named(site: Path) -> None:
    install(site, "cudf-polars-cu13", "26.6.0", "cudf_polars")
    install(site, "cuml-cu13", "26.6.0", "cuml")
    install(site, "torch", "2.13.0+cpu")
    assert lacking_for_training() == "PyTorch 2.13.0+cpu is built for the CPU."


def test_serving_needs_the_gpu_build_of_onnx_runtime(site: Path) -> None:
    if installed("onnxruntime-gpu") is None:
        assert lacking_for_serving() == f"onnxruntime {installed('onnxruntime')} knows no GPU."
    install(site, "onnxruntime-gpu", "1.31.0")
    assert lacking_for_serving() is None
