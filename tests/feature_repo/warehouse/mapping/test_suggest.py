"""What was likely meant is told, and what there is, in bounds."""

from feature_repo.warehouse.mapping import suggest


def test_the_nearest_name_is_found_whatever_its_case_and_signs() -> None:
    known = ["customer_id", "Order Date", "amount"]
    assert suggest.nearest("costumer_id", known) == "customer_id"
    assert suggest.nearest("order_date", known) == "Order Date"
    assert suggest.nearest("zzz", known) is None


def test_a_remedy_tells_what_there_is_up_to_a_limit() -> None:
    assert suggest.remedy("amout", ["amount", "b"]) == "Did you mean 'amount'? There are: amount, b."
    assert suggest.remedy("x", []) == "There are none."
    assert suggest.remedy("x", [f"c{number}" for number in range(100)]).endswith("and 60 more.")
