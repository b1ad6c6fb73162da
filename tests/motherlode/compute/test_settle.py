"""What both rooms settle alike: starts, the order of clusters, signs, and files that are whole."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from motherlode.compute.settle import STARTS, best_clusters, oriented, put_in_place, starting_centres


def fitted(seed: int) -> KMeans:
    x = np.random.default_rng(seed).normal(size=(60, 2))
    with threadpool_limits(1):
        return KMeans(n_clusters=4, n_init=1, random_state=seed).fit(x)


def test_starts_are_rows_of_the_data_and_the_same_for_a_seed() -> None:
    x = np.random.default_rng(0).normal(size=(25_000, 3))
    starts = starting_centres(x, 5, seed=9)
    assert len(starts) == STARTS
    rows = {row.tobytes() for row in x}
    assert all(centre.tobytes() in rows for start in starts for centre in start)
    assert all(np.array_equal(a, b) for a, b in zip(starts, starting_centres(x, 5, seed=9), strict=True))
    assert not np.array_equal(starts[0], starting_centres(x, 5, seed=10)[0])


@given(seed=st.integers(0, 1000))
def test_renumbered_clusters_are_the_same_clusters_the_largest_first(seed: int) -> None:
    before = fitted(seed)
    of_each = before.cluster_centers_[before.labels_]
    after = best_clusters([before])
    assert np.array_equal(after.cluster_centers_[after.labels_], of_each)
    sizes = np.bincount(after.labels_, minlength=4)
    assert (sizes[:-1] >= sizes[1:]).all()


def test_of_fits_that_differ_by_rounding_the_first_is_kept() -> None:
    first, second, worse = fitted(1), fitted(1), fitted(1)
    second.inertia_ *= 1 - 1e-12
    worse.inertia_ *= 1.01
    assert best_clusters([worse, first, second]) is first


@given(seed=st.integers(0, 1000), signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
def test_components_are_oriented_alike_whatever_signs_they_came_with(seed: int, signs: tuple[float, ...]) -> None:
    x = np.random.default_rng(seed).normal(size=(40, 5))
    one, other = PCA(n_components=3).fit(x), PCA(n_components=3).fit(x)
    other.components_ = other.components_ * np.array(signs)[:, None]
    assert np.array_equal(oriented(one).components_, oriented(other).components_)


def test_entries_of_equal_size_are_oriented_by_the_first_whatever_rounding_says() -> None:
    pca = PCA(n_components=2).fit(np.random.default_rng(0).normal(size=(9, 2)))
    for error in (-1e-12, 1e-12):
        pca.components_ = np.array([[-1 + error, 1.0], [1.0, -1 + error]])
        assert (oriented(pca).components_[:, 0] > 0).all()


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), put_in_place(path) as scratch:
        scratch.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with put_in_place(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
