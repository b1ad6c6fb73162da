"""An endpoint that does nothing, under Ray Serve as it comes: `python -m benchmarks.peers.ray_empty REPLICAS PORT`."""

import sys
from typing import Any

from fastapi import FastAPI
from ray import serve

from benchmarks.peers.ray_server import run

app = FastAPI()


@serve.deployment
@serve.ingress(app)
class Api:
    """One replica."""

    @app.get("/")
    async def nothing(self) -> dict[str, str]:
        """Nothing."""
        return {"status": "alive"}


if __name__ == "__main__":
    deployment: Any = Api
    run(deployment.options(num_replicas=int(sys.argv[1])).bind(), int(sys.argv[2]))
