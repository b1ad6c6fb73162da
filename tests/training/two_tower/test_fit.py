import dataclasses

import numpy as np
import onnxruntime as ort
import polars as pl
import pytest
import torch

from motherlode import names
from motherlode.compute import Compute
from motherlode.errors import DataError
from motherlode.manifest import VECTOR_TOLERANCE
from training.two_tower import train
from training.two_tower.fit import FittedTower, fit, measure_last_baskets
from training.two_tower.train import Options

CPU = Compute("cpu", "The CPU was asked for.")
CALENDAR = "first basket of the last 28 days"


def answer(fitted: FittedTower, history: np.ndarray, features: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(fitted.onnx, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["user"], {"history": history, "features": features})[0])


def test_onnx_answers_as_pytorch_does(fitted: FittedTower) -> None:
    assert fitted.answer.dtype == np.float32
    assert np.abs(answer(fitted, fitted.history, fitted.features) - fitted.answer).max() <= VECTOR_TOLERANCE


def test_onnx_answers_one_row_and_short_histories(fitted: FittedTower) -> None:
    """Batch and length are free; places past a history's end say nothing."""
    alone = answer(fitted, fitted.history[1:2], fitted.features[1:2])
    np.testing.assert_allclose(alone, fitted.answer[1:2], atol=VECTOR_TOLERANCE)
    short = fitted.history[1:4].copy()
    short[:, 7:] = 0
    whole = answer(fitted, short, fitted.features[1:4])
    np.testing.assert_allclose(answer(fitted, short[:, :7], fitted.features[1:4]), whole, atol=VECTOR_TOLERANCE)


def test_samples_hold_an_empty_history_and_its_answer_is_finite(fitted: FittedTower) -> None:
    assert not fitted.history[0].any()
    assert fitted.history[1:].any(axis=1).all()
    assert len(fitted.history) == len(fitted.features) == len(fitted.answer) == 32
    assert np.isfinite(fitted.answer).all()


def test_shapes_are_those_of_the_bundle(fitted: FittedTower) -> None:
    items = len(fitted.item_table.keys)
    assert fitted.vectors.shape == (items, fitted.answer.shape[1])
    assert fitted.vectors.dtype == np.float32
    assert fitted.vectors.flags.c_contiguous
    assert fitted.features.shape[1] == len(fitted.tower.model.inputs)
    assert fitted.history.shape[1] == fitted.tower.history_length
    assert fitted.history.max() <= items
    assert len(fitted.item_table.ids) == len(fitted.item_table.names) == len(fitted.item_table.categories) == items


def test_item_ids_are_the_company_s(fitted: FittedTower, frames: tuple[pl.DataFrame, ...]) -> None:
    known = dict(zip(frames[1][names.ITEM_ID], frames[1][names.OUTSIDE_ID], strict=True))
    assert all(
        known[key] == outside for key, outside in zip(fitted.item_table.keys, fitted.item_table.ids, strict=True)
    )


def test_tower_alone_beats_popularity_also_on_new_items(fitted: FittedTower) -> None:
    """On 200 households already."""
    found = {(each.metric, each.baseline): each for each in fitted.quality}
    alone = found[f"recall@10, {CALENDAR}, tower alone", "most bought overall"]
    assert alone.value > 1.2 * alone.baseline_value
    assert found[f"recall@10, {CALENDAR}, new items", "most bought overall, not yet bought"].wins


def test_figures_are_stated_beside_the_customer_s_habits(fitted: FittedTower) -> None:
    metrics = {each.metric for each in fitted.quality if "half-life" in each.baseline}
    measured = ("recall@10, {}", "NDCG@10, {}", "recall@10, {}, tower alone", "coverage@10, {}")
    assert {metric.format(CALENDAR) for metric in measured} <= metrics
    assert fitted.quality[0].metric == f"recall@10, {CALENDAR}"
    assert all(0.0 < each.value < 1.0 and 0.0 < each.baseline_value < 1.0 for each in fitted.quality)


def test_progress_counts_every_pass(fitted: FittedTower, passes: list[tuple[int, int]], options: Options) -> None:
    assert fitted is not None
    assert passes == [(done, options.epochs + 2) for done in range(1, options.epochs + 3)]


def test_equal_seeds_give_equal_bits_and_others_do_not(
    fitted: FittedTower, frames: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame], options: Options
) -> None:
    """Whatever the order of the rows, and whatever was drawn before."""
    torch.rand(3)
    shuffled = [frame.sample(fraction=1.0, shuffle=True, seed=7) for frame in frames]
    again = fit(shuffled[0], shuffled[1], shuffled[2], CPU, 0, options=options)
    np.testing.assert_array_equal(again.vectors, fitted.vectors)
    np.testing.assert_array_equal(again.answer, fitted.answer)
    assert again.quality == fitted.quality
    other = fit(*frames, CPU, 1, options=dataclasses.replace(options, epochs=1))
    assert np.abs(other.vectors - fitted.vectors).max() > 1e-3


def test_fit_leaves_pytorch_as_it_was(fitted: FittedTower) -> None:
    assert fitted is not None
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    with train.reproducible(0, threads + 1):
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


def test_last_baskets_are_measured_on_request(frames: tuple[pl.DataFrame, ...], options: Options) -> None:
    """The usual protocol, whose figures stand in the decision on the two-tower."""
    found = measure_last_baskets(frames[0], frames[1], frames[2], CPU, 0, options)
    assert all("each customer's last basket" in each.metric for each in found)
    alone = next(each for each in found if "tower alone" in each.metric and each.baseline == "most bought overall")
    assert alone.value > 1.2 * alone.baseline_value


def test_too_few_purchases_are_refused(frames: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> None:
    with pytest.raises(DataError, match="No purchases are left of 5"):
        fit(frames[0].head(5), frames[1], frames[2], CPU, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
def test_a_tower_trained_on_the_gpu_answers_the_same_on_the_cpu(
    fitted: FittedTower, frames: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame], options: Options
) -> None:
    """bf16 in training, float32 in the bundle; and as good as the CPU's."""
    theirs = fit(*frames, Compute("gpu", "a GPU"), 0, options=options)
    assert np.abs(answer(theirs, theirs.history, theirs.features) - theirs.answer).max() <= VECTOR_TOLERANCE
    for one, other in zip(fitted.quality, theirs.quality, strict=True):
        assert abs(one.value - other.value) < 0.05
