import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from training import naming
from training.segments import COLUMNS

CENTRES = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 8), st.just(len(COLUMNS))), elements=st.floats(-3, 3, width=16)
)


def centre(**sizes: float) -> npt.NDArray[np.float64]:
    """A centre that is usual in all but the features whose names end so."""
    return np.array([next((size for end, size in sizes.items() if column.endswith(end)), 0.0) for column in COLUMNS])


@given(CENTRES)
def test_no_two_segments_are_called_alike(centres: npt.NDArray[np.float64]) -> None:
    called = naming.names(COLUMNS, centres)
    assert len(set(called)) == len(centres)
    assert called == naming.names(COLUMNS, centres)


def test_names_say_how_often_they_come_and_what_sets_them_apart() -> None:
    frequent = {"recency_days": -1.0, "frequency_28d": 1.0, "frequency_84d": 1.0, "between_baskets": -1.0}
    seldom = {name: -1.2 * size for name, size in frequent.items()}
    called = naming.names(
        COLUMNS,
        np.stack(
            [
                centre(**frequent, coupon_line_share=2, coupon_basket_share=2),
                centre(**seldom, discount_line_share=-1, discount_depth=-1),
                centre(discount_line_share=1, discount_depth=1),
                centre(**frequent),
            ]
        ),
    )
    assert called == (
        "Loyal coupon users",
        "Lapsed full-price buyers",
        "Occasional bargain hunters",
        "Loyal all-rounders",
    )


def test_a_name_that_is_taken_leaves_the_next_trait() -> None:
    big = centre(basket_value_mean=2, basket_items_mean=2)
    less = centre(basket_value_mean=1, basket_items_mean=1, private_label_share=-0.5)
    assert naming.names(COLUMNS, np.stack([less, big])) == ("Occasional name-brand buyers", "Occasional big baskets")


def test_segments_that_cannot_be_told_apart_are_numbered() -> None:
    assert naming.names(COLUMNS, np.zeros((3, len(COLUMNS)))) == (
        "Occasional all-rounders",
        "Occasional all-rounders 2",
        "Occasional all-rounders 3",
    )


def test_a_description_gives_the_typical_customer_in_units_and_good_grammar() -> None:
    medians = np.array([1.2, 0, 1, 0, 1234.4, 0.5, 0.1, 0, 0.24, 0.3, 56.7, 10, 9])
    assert naming.describe(COLUMNS, medians) == (
        "Typically 1 basket and 1,234 spent in 84 days, 57 a basket, last here 1 day ago; 50% of lines on discount, "
        "coupons in 24% of baskets, 30% of money on the shop's own brand."
    )
