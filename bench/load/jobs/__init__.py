"""What the load client can be asked to do: one function a job, by name.

A job gets what the parent process asked for and returns the figures; `tell` sends a line of
progress in between.
"""

from collections.abc import Callable
from typing import Any

from bench.load.jobs.catchup import catchup
from bench.load.jobs.connect import connect
from bench.load.jobs.fanout import fanout
from bench.load.jobs.http import http
from bench.load.jobs.idle import idle
from bench.load.jobs.ingest import ingest
from bench.load.jobs.latency import latency

Tell = Callable[[str], None]
Job = Callable[[dict[str, Any], Tell], dict[str, Any]]

JOBS: dict[str, Job] = {
    "catchup": catchup,
    "connect": connect,
    "fanout": fanout,
    "http": http,
    "idle": idle,
    "ingest": ingest,
    "latency": latency,
}
