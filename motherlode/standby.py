"""Work on the GPU with the CPU standing by: an error of the GPU is answered by the CPU, which stays until the GPU is
well again."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

AGAIN_S: Final = 60.0
"""After so long the GPU is tried again; after each try that fails, twice as long."""
_LONGEST_S: Final = 3600.0
_log: Final = logging.getLogger(__name__)

T = TypeVar("T")
A = TypeVar("A")


class Standby(Generic[T]):
    """What answers on the GPU, and the same on the CPU beside it. May be asked from several threads at once.

    Args:
        what: its name in the log.
        gpu: what answers while all is well; None: what has no GPU to lose.
        cpu: what answers instead.
        reopen: opens it on the GPU anew, and raises unless it answers there as it must.
        again_s: seconds until that is tried first.
        lost: what it failed with before it ever answered; it is tried again all the same.
    """

    def __init__(
        self,
        what: str,
        gpu: T | None,
        cpu: T,
        reopen: Callable[[], T],
        again_s: float = AGAIN_S,
        lost: str | None = None,
    ) -> None:
        self._what = what
        self._gpu = gpu
        self._cpu = cpu
        self._reopen = reopen
        self._first_s = self._again_s = again_s
        self._due = time.monotonic() + again_s
        self._lost = lost
        self._trying: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def lost(self) -> str | None:
        """What the GPU failed with; None while it answers."""
        return self._lost

    def ask(self, question: Callable[[T], A]) -> A:
        """An answer of the GPU, or of the CPU where the GPU fails.

        Raises:
            Exception: what the CPU raises. Then the question is at fault, and the GPU is not blamed.
        """
        gpu = self._gpu
        if gpu is None:
            if self._lost is not None and time.monotonic() >= self._due:
                self._try_again()
            return question(self._cpu)
        try:
            return question(gpu)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common base; the CPU is asked next
            answer = question(self._cpu)
            self._lose(gpu, error)
            return answer

    def _lose(self, gpu: T, error: Exception) -> None:
        with self._lock:
            if self._gpu is not gpu:
                return  # another thread was here first, or it has come back meanwhile
            self._gpu, self._lost = None, f"{type(error).__name__}: {error}"
            self._due = time.monotonic() + self._again_s
        _log.error(
            "The GPU fails, and the CPU answers for %s; tried again in %.0f s. %s",
            self._what,
            self._again_s,
            self._lost,
        )

    def _try_again(self) -> None:
        """Nobody waits for it. Asked for by requests, so that what nobody asks any more is not kept alive."""
        with self._lock:
            if self._gpu is not None or self._trying is not None:
                return
            self._trying = threading.Thread(target=self._come_back, name="gpu-again", daemon=True)
            self._trying.start()

    def _come_back(self) -> None:
        try:
            gpu = self._reopen()
        except Exception as error:  # noqa: BLE001 - see `ask`; whatever it is, the CPU goes on answering
            with self._lock:
                self._again_s = min(2 * self._again_s, _LONGEST_S)
                self._due, self._trying = time.monotonic() + self._again_s, None
            _log.warning("The GPU still fails %s; tried again in %.0f s. %s", self._what, self._again_s, error)
            return
        with self._lock:
            self._gpu, self._lost, self._trying, self._again_s = gpu, None, None, self._first_s
        _log.info("The GPU answers for %s again.", self._what)
