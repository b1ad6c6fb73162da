"""The list of paths is the application's, and no path means two things."""

from typing import TYPE_CHECKING

import pytest

from motherlode import access
from serving.http import build
from serving.lock import routes

if TYPE_CHECKING:
    from tests.serving.conftest import Company


def test_it_lists_every_path_of_the_application_and_no_other(company: "Company") -> None:
    there = {route.path.replace("{customer_id:str}", "1") for route in build(company.settings)._app.routes}
    unlisted = {path for path in there if routes.scope_of(path) is None}
    assert unlisted == {path for path in there if path.startswith("/docs/") and path != "/docs/openapi.json"}
    assert set(routes.SCOPE_OF) <= there
    assert {start + "1" for start in routes.BELOW} <= there
    assert all(f"{path}/" in routes.PATHS and path in routes.PATHS for path in routes.SCOPE_OF if path != "/")


@pytest.mark.parametrize(
    "path", ["", "*", "/v2/score", "/V1/score", "/-/routes", "/v1/customers", "/healthz/x", "/docs/x"]
)
def test_what_is_not_listed_is_not_there(path: str) -> None:
    assert routes.scope_of(path) is None


def test_a_scope_is_needed_for_all_but_what_says_whether_it_lives_and_what_it_can(company: "Company") -> None:
    opened = {"/healthz", "/readyz", "/docs", "/docs/openapi.json", "/openapi.json", "/"}
    assert {path for path, scope in routes.SCOPE_OF.items() if scope == routes.OPEN} == opened
    assert {*routes.SCOPE_OF.values(), *routes.BELOW.values()} - {routes.OPEN} == {*access.SCOPES} - {access.ADMIN}


def test_slashes_that_say_nothing_are_none_and_a_customer_is_never_told() -> None:
    assert [routes.plain(path) for path in ("/", "//", "/v1/score", "/v1/score/", "//v1//score")] == [
        *("/", "/"),
        *("/v1/score",) * 3,
    ]
    assert routes.told("/v1/customers/ann@example.org") == "/v1/customers/"
    assert routes.told("/v1/score") == "/v1/score"
