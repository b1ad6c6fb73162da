"""The stock parts under Ray Serve as it comes: `python -m benchmarks.peers.ray_stock REPLICAS FOLDER PORT`.

FastAPI as the ingress of one deployment, Ray's default proxy, and whatever else there is to set as it comes.
"""

import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve

from benchmarks.peers.ray_server import run
from benchmarks.peers.stock import Request, Stock

app = FastAPI()


@serve.deployment
@serve.ingress(app)
class Api:
    """One replica.

    Args:
        folder: see `Stock`.
    """

    def __init__(self, folder: Path) -> None:
        self._stock = Stock(folder)

    @app.post("/score")
    async def score(self, request: Request) -> dict[str, Any]:
        """Every customer's answer."""
        return self._stock.score(request.customer_ids)


if __name__ == "__main__":
    deployment: Any = Api
    run(deployment.options(num_replicas=int(sys.argv[1])).bind(Path(sys.argv[2])), int(sys.argv[3]))
