"""What keeping a streamed answer costs: T11, microseconds for each piece and each answer, and the tail while syncing.

Three sides: the journal as it is; the same bytes written with a bare `os.pwrite`, which is what any journal must pay;
and the usual way of saving a growing answer, an UPDATE of its whole text with each piece (no sync).
The tail is taken while a thread syncs the file all the time, which is once a second in the server.
"""

import argparse
import os
import sqlite3
import threading
import time
from pathlib import Path

from benchmarks.report import Figure, Goal, Report, Row, percentile
from benchmarks.rounds import (
    Sample,
    Side,
    folder,
    interleaved,
    main,
    of_key,
    parser,
    rounds_of,
    sized,
)

from palaver.clock import SystemClock
from palaver.model import TurnId
from palaver.store.journal import Journal

PIECE = " token"
JOURNAL, PWRITE, UPDATE = "journal", "os.pwrite alone", "UPDATE the row with each piece"
MICRO = 1_000_000


def timed(pieces: list[float], answers: list[float]) -> Sample:
    """What was measured, in microseconds."""
    return {
        "piece_us": sum(pieces) / len(pieces) * MICRO,
        "p99_us": percentile(pieces, 99) * MICRO,
        "answer_us": sum(answers) / len(answers) * MICRO,
    }


def through_journal(path: Path, answers: int, pieces: int) -> Sample:
    """Answers one after the other; ending one counts to the answer."""
    clock = SystemClock()
    journal = Journal(path, clock.new_id())
    took: list[float] = []
    whole: list[float] = []
    for _ in range(answers):
        turn = TurnId(f"t_{clock.new_id()}")
        began = time.perf_counter()
        for _ in range(pieces):
            start = time.perf_counter()
            journal.piece(turn, PIECE)
            took.append(time.perf_counter() - start)
        journal.ended(turn)
        whole.append(time.perf_counter() - began)
    journal.close()
    return timed(took, whole)


def through_pwrite(path: Path, answers: int, pieces: int) -> Sample:
    """The same number of bytes, and nothing else."""
    record = b"\0" * (8 + 16 + 1 + len(PIECE))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, len(record) * answers * pieces)
    took: list[float] = []
    whole: list[float] = []
    at = 0
    for _ in range(answers):
        began = time.perf_counter()
        for _ in range(pieces):
            start = time.perf_counter()
            os.pwrite(descriptor, record, at)
            took.append(time.perf_counter() - start)
            at += len(record)
        whole.append(time.perf_counter() - began)
    os.close(descriptor)
    path.unlink()
    return timed(took, whole)


def through_update(path: Path, answers: int, pieces: int) -> Sample:
    """A row that grows, each time in a transaction of its own, unsynced."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE IF NOT EXISTS answers (key INTEGER PRIMARY KEY, text TEXT)")
    took: list[float] = []
    whole: list[float] = []
    for _ in range(answers):
        key = connection.execute("INSERT INTO answers (text) VALUES ('')").lastrowid
        text = ""
        began = time.perf_counter()
        for _ in range(pieces):
            text += PIECE
            start = time.perf_counter()
            connection.execute("UPDATE answers SET text = ? WHERE key = ?", (text, key))
            took.append(time.perf_counter() - start)
        whole.append(time.perf_counter() - began)
    connection.close()
    return timed(took, whole)


def while_syncing(path: Path, seconds: float) -> tuple[float, float]:
    """The p99 of a piece, in milliseconds, without and with a thread that does nothing but sync."""
    clock = SystemClock()
    found: list[float] = []
    for syncing in (False, True):
        journal = Journal(path, clock.new_id())
        turn = TurnId(f"t_{clock.new_id()}")
        journal.piece(turn, PIECE)
        stop = threading.Event()
        descriptors = [os.open(one, os.O_RDWR) for one in path.glob("*.journal") if syncing]
        thread = threading.Thread(target=_sync, args=(descriptors, stop))
        thread.start()
        took: list[float] = []
        until = time.perf_counter() + seconds
        start = time.perf_counter()
        while start < until:
            journal.piece(turn, PIECE)
            end = time.perf_counter()
            took.append(end - start)
            start = end
        stop.set()
        thread.join()
        for descriptor in descriptors:
            os.close(descriptor)
        journal.ended(turn)
        journal.close()
        found.append(percentile(took, 99) * 1000)
    return found[0], found[1]


def _sync(descriptors: list[int], stop: threading.Event) -> None:
    while descriptors and not stop.wait(0.001):
        for descriptor in descriptors:
            os.fdatasync(descriptor)


async def measure(options: argparse.Namespace) -> Report:
    """All of it."""
    answers: int = sized(options, 50, 20, 3)
    pieces: int = sized(options, 400, 400, 20)
    rounds = rounds_of(options)
    report = Report("journal", {"answers": answers, "pieces": pieces, "rounds": rounds})
    with folder() as path:

        async def journal() -> Sample:
            return through_journal(path / "journal", answers, pieces)

        async def pwrite() -> Sample:
            return through_pwrite(path / "plain", answers, pieces)

        async def update() -> Sample:
            return through_update(path / "update.db", answers, pieces)

        sides: dict[str, Side] = {JOURNAL: journal, PWRITE: pwrite, UPDATE: update}
        figures = await interleaved("journal", sides, rounds)
        others = (PWRITE, UPDATE)
        for what, key, goal in (
            ("one piece", "piece_us", Goal(at_most=5)),
            ("one piece, p99", "p99_us", None),
            (f"one answer of {pieces} pieces, with its end", "answer_us", None),
        ):
            report.add(
                Row(
                    target="T11" if goal else "",
                    what=what,
                    unit="us",
                    figure=figures[JOURNAL][key],
                    baselines=of_key(figures, key, others),
                    goal=goal,
                )
            )
        seconds: float = sized(options, 2.0, 1.0, 0.05)
        tails = [while_syncing(path / "syncing", seconds) for _ in range(rounds)]
        report.add(
            Row(
                target="T11",
                what="one piece, p99 while a thread syncs without a pause",
                unit="ms",
                figure=Figure(tuple(busy for _, busy in tails)),
                baselines={"not syncing": Figure(tuple(idle for idle, _ in tails))},
                goal=Goal(at_most=1),
            )
        )
    return report


if __name__ == "__main__":
    main(measure, parser("journal", "What keeping a streamed answer costs.").parse_args())
