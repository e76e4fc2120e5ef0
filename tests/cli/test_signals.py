"""SIGTERM and SIGHUP end a command as Ctrl-C does, wherever a build stands, and leave all that the next one needs.

Real processes get real signals: each says when it has come to the call that is named, and waits there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import interruption
from pipeline.config import Config
from pipeline.index import manifest as manifests
from pipeline.job import build as builder
from pipeline.job.report import failure
from pipeline.query.searcher import open_index
from tests.support.collection import config_for, write_documents

SETTINGS = "index: index\nsources: [{path: documents}]\nencoder: {model: none}\nencode: {shard_chunks: 2}\n"
STAGES = {
    "ingest": ("pipeline.ingest.cutting.chunker.Chunker.chunk", 5),
    "encode": ("pipeline.index.staging.write_shard", 3),
    "commit": ("pipeline.index.candidate.discard", 1),
}
"""A call in the middle of each stage, and at which time it is made."""
WAITING = """
import pkgutil, select, sys
from pipeline import interruption
from pipeline.__main__ import main

def wait_at(name, nth):
    path, attribute = name.rsplit(".", 1)
    place, calls = pkgutil.resolve_name(path), []
    original = getattr(place, attribute)

    def waiting(*arguments, **options):
        calls.append(1)
        if len(calls) == nth:
            print("here", *[worker._process.pid for worker in arguments if hasattr(worker, "_process")], flush=True)
            while not select.select([sys.stdin], [], [], 0.01)[0]:
                pass
            sys.stdin.readline()
        return original(*arguments, **options)

    setattr(place, attribute, waiting)

calls, repeat, *arguments = sys.argv[1:]
interruption._REPEAT_SECONDS = float(repeat)
for call in calls.split(","):
    wait_at(call.split(":")[0], int(call.split(":")[1]))
sys.argv[1:] = arguments
main()
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_documents(tmp_path / "documents", {f"{i}.md": f"Document number {i} about pears." for i in range(10)})
    (tmp_path / "config.yaml").write_text(SETTINGS)
    return config_for(tmp_path, encoder={"model": "none"}, encode={"shard_chunks": 2})


@contextmanager
def waiting(
    config: Config, *calls: tuple[str, int], command: str = "build", repeat: float = 1.0, ignored: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A command that waits at the first of the calls, in a process group of its own."""
    named = ",".join(f"{name}:{nth}" for name, nth in calls)
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, named, str(repeat), *command.split()],
        cwd=config.base,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: _listen(ignored),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _listen(ignored: bool) -> None:
    """As a terminal starts a command, also where the tests themselves run under nohup or in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)


def arrived(process: subprocess.Popen[str]) -> list[int]:
    """Wait until the command has come to the next call; the processes of the call's worker, if it has one."""
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:1] == ["here"], process.communicate(timeout=60)
    return [int(word) for word in words[1:]]


def answers(index: Path) -> list[tuple[str, float]]:
    with open_index(index) as opened:
        return [(hit.chunk_id, hit.score) for hit in opened.search("pears number 3", 20)]


def answers_of_a_build_at_once(config: Config) -> list[tuple[str, float]]:
    whole = config.model_copy(update={"index": "whole"})
    builder.build(whole)
    return answers(whole.index_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_ends_a_build_which_the_next_one_completes(
    config: Config, stage: str, number: signal.Signals
) -> None:
    with waiting(config, STAGES[stage]) as process:
        arrived(process)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    word = "interrupted" if number is signal.SIGINT else f"interrupted by {number.name}"
    assert (process.returncode, said) == (
        128 + number,
        f"{word}: the live index is as it was and what is staged is kept; `pipeline build` goes on from there\n",
    )
    failed = failure.load(config.index_path)
    assert failed is not None
    assert failed.reason.startswith(f"{word};")
    assert manifests.generations(config.index_path) == []

    report = builder.build(config)
    assert report.reused_chunks == {"ingest": 0, "encode": 4, "commit": 10}[stage]
    assert answers(config.index_path) == answers_of_a_build_at_once(config)
    assert failure.load(config.index_path) is None


@pytest.mark.parametrize(("command", "call"), [("ingest", STAGES["ingest"]), ("encode", STAGES["encode"])])
def test_each_half_of_a_build_names_itself(config: Config, command: str, call: tuple[str, int]) -> None:
    if command == "encode":
        builder.ingest(config)
    with waiting(config, call, command=command) as process:
        arrived(process)
        process.terminate()
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, f"`pipeline {command}` goes on" in said) == (143, True), said


def test_a_signal_after_the_publish_says_what_is_live(config: Config) -> None:
    with waiting(config, ("pipeline.index.store.collect_garbage", 1)) as process:
        arrived(process)
        process.terminate()
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (
        143,
        "interrupted by SIGTERM: generation 1 is live; the next build removes what is not needed\n",
    )
    assert failure.load(config.index_path) is None
    assert not builder.build(config).published


def test_a_terminal_that_is_gone_changes_nothing(config: Config) -> None:
    with waiting(config, STAGES["encode"]) as process:
        arrived(process)
        assert process.stderr is not None
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 129
    failed = failure.load(config.index_path)
    assert failed is not None
    assert failed.reason.startswith("interrupted by SIGHUP;")


def test_logs_in_json_name_the_signal(config: Config) -> None:
    with waiting(config, STAGES["encode"], command="--log-json build") as process:
        arrived(process)
        process.terminate()
        told = json.loads(process.communicate(timeout=60)[1].splitlines()[-1])
    assert (told["event"], told["exit_code"], told["signal"]) == ("failed", 143, "SIGTERM")


def test_what_nohup_lets_a_build_ignore_stays_ignored(config: Config) -> None:
    with waiting(config, STAGES["encode"], ignored=True) as process:
        arrived(process)
        process.send_signal(signal.SIGHUP)
        said = process.communicate("go on\n", timeout=60)[1]
    assert (process.returncode, said) == (0, "")
    assert manifests.generations(config.index_path) == [1]


@pytest.mark.parametrize("repeat", [60.0, 0.0])
def test_a_second_signal_while_it_ends_gives_no_traceback(config: Config, repeat: float) -> None:
    """Neither right after the first, as `timeout` sends it, nor later, from someone who is impatient."""
    ending = ("pipeline.job.report.failure._save", 1)
    with waiting(config, STAGES["encode"], ending, repeat=repeat) as process:
        arrived(process)
        process.terminate()
        arrived(process)
        process.terminate()
        said = process.communicate("go on\n", timeout=60)[1]
    assert (process.returncode, said.count("\n"), said[:23]) == (143, 1, "interrupted by SIGTERM:"), said
    builder.build(config)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_processes_for_devices_end_with_the_command(config: Config, number: signal.Signals) -> None:
    """The whole group gets the signal, as from `timeout` or systemd: the command's word is the one that counts."""
    (config.base / "config.yaml").write_text(SETTINGS.replace("encode: {", "encode: {devices: [cpu, cpu], "))
    with waiting(config, ("pipeline.encode.pool._Worker.finished", 2)) as process:
        (worker,) = arrived(process)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=60)[1]
        last = said.splitlines()[-1]  # after a warning that two processes gain nothing with this encoder
        assert (process.returncode, last.split(":")[0]) == (128 + number, f"interrupted by {number.name}"), said
        for gone in (lambda: os.kill(worker, 0), lambda: os.killpg(process.pid, 0)):
            with pytest.raises(ProcessLookupError):
                gone()
    assert builder.build(config).reused_chunks > 0


def test_the_library_listens_to_no_signal(config: Config) -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in signals]
    builder.build(config)
    thread = threading.Thread(target=interruption.listen)
    thread.start()
    thread.join()
    assert [signal.getsignal(number) for number in signals] == before
