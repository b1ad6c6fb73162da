"""One command at a time changes a home folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.settings import Settings

HOLD = (
    "import sys, time; from pathlib import Path; from motherlode.lock import exclusive;"
    "from motherlode.settings import Settings\n"
    "with exclusive(Settings(home=Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"
)


def test_a_second_command_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(settings.home)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"process {holder.pid}") as caught, exclusive(settings):
            pass
        assert "--home" in caught.value.remedy
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with exclusive(settings):
        pass  # a killed holder holds nothing


def test_it_is_free_again_after_the_block_even_where_that_failed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(ZeroDivisionError), exclusive(settings):
        raise ZeroDivisionError
    with exclusive(settings):
        pass
