"""The stock parts under plain FastAPI: `STOCK_FOLDER=… uvicorn --factory benchmarks.peers.uvicorn_stock:build`."""

import os
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from benchmarks.peers.stock import Request, Stock

FOLDER: Final = "STOCK_FOLDER"
"""Names the folder, see `Stock`: each of uvicorn's workers builds the application anew."""


def build() -> FastAPI:
    """The application."""
    app, stock = FastAPI(), Stock(Path(os.environ[FOLDER]))

    # Not `def`: beside one core the threads that it would run in cost a tenth more CPU time and do nothing sooner.
    @app.post("/score")
    async def score(request: Request) -> dict[str, Any]:
        return stock.score(request.customer_ids)

    return app
