"""What the documents' tests run on."""

from collections.abc import Iterator

import pytest

from rtchat.server.launch import free_port
from tests.pods import Pod, Pods
from tests.services import Databases


@pytest.fixture
def server(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """A server on which nobody has ever been; it may be started again on its port."""
    with databases.fresh() as url:
        pod = pods.spawn(url, port=free_port()).wait()
        yield pod
        pod.kill()
