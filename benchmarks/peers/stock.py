"""A full answer of stock parts: Feast's SDK on its own Redis store, pandas, scikit-learn and XGBoost. No Motherlode.

Each part is used as its maker's guide has it; everything is loaded once, and the registry is cached.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import joblib  # type: ignore[import-untyped]
import numpy as np
from feast import FeatureStore
from pydantic import BaseModel
from xgboost import XGBClassifier

SERVICE: Final = "scoring"
MODELS: Final = ("response", "inactive_28d")


class Request(BaseModel):
    """Whom to score."""

    customer_ids: list[int | str]


class Stock:
    """Features, segment and two scores.

    Args:
        folder: Feast's repository, the models beside it.
    """

    def __init__(self, folder: Path) -> None:
        self._store = FeatureStore(repo_path=str(folder))
        self._service = self._store.get_feature_service(SERVICE)
        self._columns: list[str] = json.loads((folder / "columns.json").read_text())
        self._segments: Any = joblib.load(folder / "segments.joblib")
        self._models = {name: _classifier(folder / f"{name}.ubj") for name in MODELS}

    def score(self, customer_ids: Sequence[int | str]) -> dict[str, Any]:
        """Every customer's answer, in their order."""
        rows = [{"customer_id": str(each)} for each in customer_ids]
        answer = self._store.get_online_features(features=self._service, entity_rows=rows)
        frame = answer.to_df()[self._columns]
        segments = self._segments.predict(np.log1p(frame)).tolist()
        scores = {name: model.predict_proba(frame)[:, 1].tolist() for name, model in self._models.items()}
        return {
            "results": [
                {
                    "customer_id": each,
                    "segment": {"id": segments[i]},
                    "scores": {name: scores[name][i] for name in MODELS},
                }
                for i, each in enumerate(customer_ids)
            ]
        }


def _classifier(path: Path) -> XGBClassifier:
    model = XGBClassifier()
    model.load_model(path)
    return model
