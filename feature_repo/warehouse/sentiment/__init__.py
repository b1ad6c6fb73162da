"""Sentiment: how good or bad a customer's words are, offline, for English and Chinese.

Enters: texts. Leaves: a number from -1 to 1 for each, or null, and its language.
May import: the ground floor, Polars, NumPy, and vaderSentiment behind `english`.
Must not import: the rest of the warehouse, scikit-learn, any network.
"""

from feature_repo.warehouse.sentiment.scorer import LANGUAGES, score

__all__ = ["LANGUAGES", "score"]
