"""What keeping a streamed answer costs: T11, microseconds for each piece and each answer, and the tail while syncing.

Three sides: the journal as it is; the same bytes written with a bare `os.pwrite`, which is what any journal must pay;
and the usual way of saving a growing answer, an UPDATE of its whole text with each piece (no sync).
The tail is taken while a thread syncs the file all the time, which is once a second in the server.
"""

import os
import sqlite3
import threading
import time
from pathlib import Path

from benchmarks.report import Goal, percentile
from benchmarks.rounds import Bench, Sample, Side, blocking, folder, main, parser

from palaver.clock import SystemClock
from palaver.model import TurnId
from palaver.store.journal import Journal

PIECE = " token"
JOURNAL, PWRITE, UPDATE = "journal", "os.pwrite alone", "UPDATE the row with each piece"
SYNCING, QUIET = "while a thread syncs without a pause", "not syncing"
MICRO = 1_000_000


def timed(pieces: list[float], answers: list[float]) -> Sample:
    """Means and p99, in microseconds."""
    return {
        "piece_us": sum(pieces) / len(pieces) * MICRO,
        "p99_us": percentile(pieces, 99) * MICRO,
        "answer_us": sum(answers) / len(answers) * MICRO,
    }


def through_journal(path: Path, answers: int, pieces: int) -> Sample:
    """Keeps answers in the journal, one after the other; an answer's end counts to it."""
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
    """Writes the same number of bytes, and nothing else."""
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
    """Updates a growing row, each time in a transaction of its own, unsynced."""
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


def tail(path: Path, seconds: float, *, syncing: bool) -> Sample:
    """Measures the p99 of a piece; with `syncing`, a thread does nothing but sync meanwhile."""
    clock, took = SystemClock(), list[float]()
    journal = Journal(path, clock.new_id())
    turn = TurnId(f"t_{clock.new_id()}")
    journal.piece(turn, PIECE)
    stop = threading.Event()
    descriptors = [os.open(one, os.O_RDWR) for one in path.glob("*.journal") if syncing]
    thread = threading.Thread(target=_sync, args=(descriptors, stop))
    thread.start()
    start = time.perf_counter()
    until = start + seconds
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
    return {"p99_ms": percentile(took, 99) * 1000}


def _sync(descriptors: list[int], stop: threading.Event) -> None:
    while descriptors and not stop.wait(0.001):
        for descriptor in descriptors:
            os.fdatasync(descriptor)


async def measure(bench: Bench) -> None:
    """T11."""
    answers, pieces = bench.sized((50, 400), (20, 400), (3, 20))
    bench.report.parameters |= {"answers": answers, "pieces": pieces}
    seconds: float = bench.sized(2.0, 1.0, 0.05)
    with folder() as path:
        sides: dict[str, Side] = {
            JOURNAL: blocking(through_journal, path / "journal", answers, pieces),
            PWRITE: blocking(through_pwrite, path / "plain", answers, pieces),
            UPDATE: blocking(through_update, path / "update.db", answers, pieces),
        }
        figures = await bench.compared("journal", sides)
        sides = {
            SYNCING: blocking(tail, path / "syncing", seconds, syncing=True),
            QUIET: blocking(tail, path / "quiet", seconds, syncing=False),
        }
        tails = await bench.compared("while a thread syncs", sides)
    beside = [PWRITE, UPDATE]
    goal = Goal(at_most=4, against=PWRITE)
    bench.add(
        figures,
        JOURNAL,
        "piece_us",
        "one piece",
        "us",
        target="T11",
        beside=beside,
        goals=[goal],
    )
    bench.add(figures, JOURNAL, "p99_us", "one piece, p99", "us", beside=beside)
    what = f"one answer of {pieces} pieces, with its end"
    bench.add(figures, JOURNAL, "answer_us", what, "us", beside=beside)
    what = f"one piece, p99 {SYNCING}"
    goal = Goal(at_most=1)
    bench.add(tails, SYNCING, "p99_ms", what, "ms", target="T11", beside=[QUIET], goals=[goal])


if __name__ == "__main__":
    main(measure, parser("journal", "What keeping a streamed answer costs.").parse_args())
