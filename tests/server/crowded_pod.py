"""Workers on a machine that now and then has no process left: forks that fail, by their numbers.

`python -m tests.server.crowded_pod serve` is `rtchat serve`; `RTCHAT_TEST_FORKS_FAIL` names which
forks fail, the first being 1, separated by commas.
"""

import errno
import os

from rtchat import cli


def main() -> None:
    """Serve, where these forks fail."""
    fork, number = os.fork, 0
    failing = {int(each) for each in os.environ["RTCHAT_TEST_FORKS_FAIL"].split(",")}

    def fail_or_fork() -> int:
        nonlocal number
        number += 1
        if number in failing:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    os.fork = fail_or_fork
    cli.main()


if __name__ == "__main__":
    main()
