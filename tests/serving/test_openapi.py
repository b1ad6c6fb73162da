"""The OpenAPI document takes its words from the structs' docstrings."""

from serving.openapi import complete


def test_docstrings_become_descriptions_and_references_resolve() -> None:
    schemas = complete({"components": {"schemas": {"Other": {}}}})["components"]["schemas"]
    assert "Other" in schemas
    score = schemas["Score"]
    assert score["description"] == "One customer's scores."
    assert score["properties"]["status"]["description"].endswith("nothing is known of this customer.")
    ready = schemas["Ready"]["properties"]
    assert ready["device"]["description"] == ready["device_reason"]["description"]
    assert schemas["Recommendation"]["properties"]["source"]["enum"] == ["personal", "popular", "segment"]
