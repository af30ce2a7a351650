"""Reading a pod's metrics, strictly: what is no text format 0.0.4 is an error.

Written from Prometheus' description of the format, not from the server's code.
"""

import re

import httpx2

from tests.pods import Pod

_SAMPLE = re.compile(r'([a-z_]+)\{limit="([a-z_]+)"\} (\d+)')
LIMITS = "rtchat_limit_reached_total"


def parse(text: str) -> dict[str, int]:
    """The counters of limits."""
    assert text.endswith("\n"), "the last line ends too"
    head, kind, *samples = text.splitlines()
    assert re.fullmatch(rf"# HELP {LIMITS} [^\\\n]+", head)
    assert kind == f"# TYPE {LIMITS} counter"
    found: dict[str, int] = {}
    for line in samples:
        sample = _SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] == LIMITS
        assert sample[2] not in found, "a series is there once"
        found[sample[2]] = int(sample[3])
    return found


async def scrape(pod: Pod, token: str) -> dict[str, int]:
    """Ask a pod for them."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{pod.url}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return parse(answer.text)
