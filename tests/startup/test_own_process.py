"""A process of the command line begins and ends quickly, and as any other does for whoever looks at it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.startup import own_process
from pipeline.startup.own_process import Departure

ENDING = """
import atexit, sys, weakref
from pipeline.startup import own_process

class Thing: pass

departure = own_process.begin()
atexit.register(lambda: sys.stdout.write("last words "))
thing = Thing()
weakref.finalize(thing, sys.stderr.write, "finalized")
sys.stdout.write("hits ")
departure.status = {status!r}
sys.exit({status!r})
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_the_user_has_set_stays() -> None:
    script = (
        "import os\n"
        "os.environ.pop('PYDANTIC_DISABLE_PLUGINS', None)\n"
        "from pipeline.startup import own_process\n"
        "own_process.begin()\n"
        "print(os.environ['OPENBLAS_THREAD_TIMEOUT'], os.environ['PYDANTIC_DISABLE_PLUGINS'])\n"
    )
    assert run(script, OPENBLAS_THREAD_TIMEOUT="20").stdout == "20 __all__\n"


def test_imports_are_not_collected() -> None:
    script = (
        "import gc\n"
        "from pipeline.startup import own_process\n"
        "own_process.begin()\n"
        "before = gc.get_freeze_count()\n"
        "with own_process.importing():\n"
        "    print(gc.isenabled())\n"
        "    import email.mime.text\n"
        "print(gc.isenabled(), gc.get_freeze_count() > before)\n"
        "try:\n"
        "    with own_process.importing():\n"
        "        import no_such_module\n"
        "except ImportError: print(gc.isenabled())\n"
    )
    assert run(script).stdout == "False\nTrue True\nTrue\n"


def test_a_program_that_runs_commands_collects_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "_begun", False)
    frozen = gc.get_freeze_count()
    with own_process.importing():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_collections_that_were_off_stay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "_begun", True)
    gc.disable()
    try:
        with own_process.importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("status", [0, 1, 3])
def test_everything_is_written_and_the_status_is_kept(status: int) -> None:
    done = run(ENDING.format(status=status))
    assert (done.returncode, done.stdout, done.stderr) == (status, "hits last words ", "finalized")


def test_an_ending_that_is_not_known_is_left_to_python(capfd: pytest.CaptureFixture[str]) -> None:
    Departure()()
    Departure("a message")()
    sys.stdout.write("still here")
    sys.stdout.flush()
    assert capfd.readouterr().out == "still here"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_cannot_be_written_shows_in_the_status() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", ENDING.format(status=0)],
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 120
    assert "No space left" in done.stderr
