"""`python -m bench all DIRECTORY`: every bench once, as docs/benchmarks.md has them.

Each runs as a command of its own and writes DIRECTORY/name.json; one that fails is named at the end
and does not keep the others from running. `python -m bench report DIRECTORY` makes the page.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.outcome import say

# Name of the outcome, and what follows `python -m bench`. About half an hour together.
RUNS: dict[str, str] = {
    "compare": "compare",
    "fanout": "fanout --members 10 --members 100 --members 500 --members 1000 --members 5000",
    "ingest": "ingest --in-flight 1 --in-flight 4 --in-flight 16",
    "latency": "latency",
    "connect": "connect --at-once 200 --at-once 1000",
    "idle": "idle --connections 1000 --connections 4000 --connections 10000 --subs 1",
    "profile": "profile",
    "rest": "rest --peer",
    "history": "history",
    "writer": "writer",
    "scale": "scale",
    "page": "page --seconds 60",
}


def run_to_its_end(command: Sequence[str]) -> int:
    """Run a bench; returns its status. When we are to end, it does first, with all it has begun.

    (subprocess.run kills a child a quarter of a second after Ctrl+C.)
    """
    with subprocess.Popen(command) as child:
        try:
            return child.wait()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # of that it was told with us
                child.terminate()
            child.wait()
            raise


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", multiple=True, type=click.Choice(list(RUNS)), help="May be given again.")
def main(directory: Path, only: Sequence[str]) -> None:
    """Run every bench once and write its figures to DIRECTORY."""
    directory.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, command in RUNS.items():
        if only and name not in only:
            continue
        say(f"python -m bench {command}")
        told = ["--json", str(directory / f"{name}.json")]
        if run_to_its_end([sys.executable, "-m", "bench", *command.split(), *told]):
            failed.append(name)
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
