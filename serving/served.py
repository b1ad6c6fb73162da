"""A bundle's engine, and what it answered lately; and what is asked of it for nobody, to see how it does."""

import time
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import msgspec

from motherlode.api import RecommendRequest, ScoreRequest, SimilarRequest
from serving.engine import Engine
from serving.sight import unseen
from serving.trial import Sample

_BUCKETS: Final = 10_000
_CUSTOMERS: Final = 8
"""Of a request that is kept."""

Asked = ScoreRequest | RecommendRequest | SimilarRequest


@dataclass
class Served:
    """An engine.

    Attributes:
        engine: it.
        sample: of its answers.
    """

    engine: Engine
    sample: Sample

    async def unseen(self, request: Asked) -> bool:
        """Answer a request for nobody; one that fails is a null answer of everything. Returns whether it went well."""
        began = time.perf_counter()
        try:
            with unseen():
                if isinstance(request, ScoreRequest):
                    self.sample.add((await self.engine.score(request)).results, time.perf_counter() - began)
                elif isinstance(request, SimilarRequest):
                    self.sample.add((await self.engine.similar_items(request)).results, time.perf_counter() - began)
                else:
                    self.sample.add((await self.engine.recommend(request)).results, time.perf_counter() - began)
        except Exception:  # noqa: BLE001 - what the live bundle answers and this one refuses speaks against it
            self.sample.failures += 1
            return False
        return True


def share_of(customer: int | str) -> float:
    """Where a customer stands among all, from 0 to below 1: by the id as text, in every replica alike."""
    return crc32(str(customer).encode()) % _BUCKETS / _BUCKETS


def short(request: Asked) -> Asked:
    """A request of few customers or items, to be kept and asked again."""
    if isinstance(request, SimilarRequest):
        return msgspec.structs.replace(request, item_ids=request.item_ids[:_CUSTOMERS])
    if len(request.customer_ids) <= _CUSTOMERS:
        return request
    return msgspec.structs.replace(request, customer_ids=request.customer_ids[:_CUSTOMERS])
