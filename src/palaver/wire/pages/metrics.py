"""`GET /metrics`: what this process counts, in the text format of Prometheus.

Rules: numbers only; a label is a code of `palaver.errors` or the end of an answer, never the name of a room, an actor
or a file. Nothing is counted here; the figures are
asked for when somebody looks, so that they cost nothing otherwise, and the library is imported then. Who may ask is
decided where it is called. With several workers the answer is of the one that took the request.
"""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from palaver.core.runtime import Core
from palaver.wire.edge.protocols import EdgeTally

if TYPE_CHECKING:
    from prometheus_client.core import Metric

MEDIA_TYPE = "text/plain; version=1.0.0; charset=utf-8"
COUNTERS = {
    "commits": "Transactions of the writer; each holds one batch of writes.",
    "events": "Events stored in rooms.",
    "journal_records": "Records written to the journal of running answers.",
    "journal_bytes": "Bytes written to the journal of running answers.",
    "drafts_accepted": "Messages accepted while the database was away.",
    "drafts_drained": "Accepted messages that were stored later.",
    "drafts_rejected": "Accepted messages that could not be stored, as their authors were told.",
    "drafts_lost": "Accepted messages that the disk has damaged before they could be stored.",
    "guests_swept": "Guests without anything of theirs that were deleted.",
    "titles_missed": "Titles that a model was asked for and did not make.",
}
COUNTERS_BY_CODE = {
    "answers": (("end", "code"), "Answers stored, by their end and the code of what went wrong."),
    "provider_errors": (("code",), "Errors of model servers, in answers, titles and calls."),
    "writes_refused": (("code",), "Writes that the store refused."),
    "writes_failed": (("code",), "Writes that failed, whose senders were told to repeat them."),
}
GAUGES = {
    "writes_waiting": "Writes that wait for their batch.",
    "drafts_waiting": "Accepted messages that wait for the database, or for the history that they belong to.",
    "turns_running": "Answers under way.",
    "readers": "Live readers, at every door.",
    "search_lag_seconds": "How long what is not in the search index yet has waited for it.",
}
EDGE_COUNTERS = {
    "crowded_out": "Connections refused because too many were open.",
    "slow_closed": "Connections closed because their peer took no byte for too long.",
}


class _Collector:
    """Asks the core and the edge."""

    def __init__(self, core: Core, tally: EdgeTally) -> None:
        self._core = core
        self._tally = tally

    def collect(self) -> "Iterator[Metric]":
        """See prometheus_client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  see the module's rules

        core, tally, figures = self._core, self._tally, self._core.figures()
        yield GaugeMetricFamily("palaver_database_up", "1: it answers.", core.db_up)
        whole = core.history == "whole"
        yield GaugeMetricFamily("palaver_history_whole", "0: the database lost something.", whole)
        yield GaugeMetricFamily("palaver_connections", "Connections that are open.", tally.open)
        tasks = len(asyncio.all_tasks())
        yield GaugeMetricFamily("palaver_tasks", "Tasks of the server's loop.", tasks)
        for name, about in GAUGES.items():
            yield GaugeMetricFamily(f"palaver_{name}", about, figures[name])
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"palaver_{name}", about, figures[name])
        by_code = core.figures_by_code()
        for name, (labels, about) in COUNTERS_BY_CODE.items():
            family = CounterMetricFamily(f"palaver_{name}", about, labels=labels)
            for values, count in by_code[name].items():
                family.add_metric(values, count)
            yield family
        for name, about in EDGE_COUNTERS.items():
            yield CounterMetricFamily(f"palaver_connections_{name}", about, getattr(tally, name))


def exposed(core: Core, tally: EdgeTally) -> bytes:
    """The figures of now, with memory, files and CPU of the process where the system tells them."""
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415  as above
    from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415
    from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(_Collector(core, tally))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
