"""The OpenAPI document takes its words from the structs' docstrings."""

from serving.openapi import complete

_PATHS = {
    "/v1/score": {"post": {"description": "Scores.", "responses": {"403": {"description": "its own"}}}},
    "/healthz": {"get": {"responses": {}}},
}


def test_a_path_tells_which_scope_it_wants_and_the_open_ones_want_none() -> None:
    document = complete({"paths": _PATHS, "components": {"schemas": {}}})
    score = document["paths"]["/v1/score"]["post"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert score["security"] == [{"key": []}, {}]
    assert "scope `score`" in score["description"]
    assert list(score["responses"]) == ["401", "403", "429"]
    assert score["responses"]["403"] == {"description": "its own"}
    assert document["paths"]["/healthz"] == _PATHS["/healthz"]


def test_docstrings_become_descriptions_and_references_resolve() -> None:
    schemas = complete({"components": {"schemas": {"Other": {}}}})["components"]["schemas"]
    assert "Other" in schemas
    score = schemas["Score"]
    assert score["description"] == "One customer's scores."
    assert score["properties"]["status"]["description"].endswith("was contacted for it as often as may be.")
    ready = schemas["Ready"]["properties"]
    assert ready["device"]["description"] == ready["device_reason"]["description"]
    assert schemas["Recommendation"]["properties"]["source"]["enum"] == ["personal", "popular", "segment"]
