"""The load client's process: jobs come as JSON lines, figures go out as JSON lines."""

import contextlib
import gc
import json
import resource
import sys
from typing import Any

from bench.load.engine import LoadError
from bench.load.jobs import JOBS


def main() -> None:
    """Serve jobs until the pipe closes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # a job makes no cycles worth a pause of ours in the server's latencies
    for line in sys.stdin:
        job = json.loads(line)
        try:
            _say({"result": JOBS[job["job"]](job, lambda text: _say({"progress": text}))})
        except (LoadError, OSError, ValueError) as error:
            _say({"error": f"{type(error).__name__}: {error}"})
        gc.collect()


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


with contextlib.suppress(KeyboardInterrupt):
    main()
