"""Schemathesis for longer: other requests each time, against a pod on a database of its own.

    python -m tests.checks --seconds 600

The time is shared by who asks: somebody who is signed in has two thirds, nobody one third. What is
wrong is printed, with the request that shows it; exit status 0: nothing.
"""

import sys
from pathlib import Path

import click

from tests.checks.fuzzing import Asker, fuzz, nobody, signed_in
from tests.checks.scene import set_up_now
from tests.oidc.conftest import settings
from tests.oidc.process import run_idp
from tests.pods import Pods
from tests.services import Databases, run_postgres, temporary_directory

EXAMPLES = 100


@click.command(help=__doc__)
@click.option("--seconds", type=click.IntRange(10, 1200), default=120, show_default=True)
def main(seconds: int) -> None:
    """Run it."""
    with temporary_directory() as directory, run_postgres() as server, run_idp() as idp:
        databases, pods = Databases(server.url), Pods(directory)
        with databases.fresh() as database_url:
            pod = pods.spawn(database_url, **settings(idp)).wait()
            scene = set_up_now(pod.url, database_url)

            def run(name: str, asker: Asker, share: int) -> bool:
                report = fuzz(
                    pod.url, asker, scene.words, Path(directory) / name,
                    examples=EXAMPLES, seconds=share,
                )  # fmt: skip
                click.echo(report.output)
                return report.status == 0

            asked = {
                "signed-in": run("signed-in", signed_in(scene), seconds * 2 // 3),
                "nobody": run("nobody", nobody(), seconds // 3),
            }
            failed = pod.events("request failed")
            pods.close()
        databases.close()
    for line in failed:
        click.secho(line["error"], fg="red")
    sys.exit(0 if all(asked.values()) and not failed else 1)


if __name__ == "__main__":
    main()
