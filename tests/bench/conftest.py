"""What the smoke forms of the benches run on: a real pod, and the real load client."""

from collections.abc import Iterator

import pytest

from bench.load.process import LoadClient
from bench.rig import SETTINGS, Rig
from rtchat.server.valkey import PrivateValkey
from tests.pods import Pods
from tests.services import Databases, Given


@pytest.fixture(scope="package")
def rig(databases: Databases, valkey: PrivateValkey | Given, pods: Pods) -> Iterator[Rig]:
    """One pod with a Redis bus, as a bench starts it."""
    with databases.fresh() as url:
        pod = pods.spawn(url, **SETTINGS, redis_urls=valkey.url, bus_prefix="rig")
        pod.wait()
        yield Rig(url, valkey.url, [pod])
        pod.kill()


@pytest.fixture(scope="package")
def load() -> Iterator[LoadClient]:
    """A load client, on whatever cores there are."""
    with LoadClient() as client:
        yield client
