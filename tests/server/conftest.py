"""Data directories for embedded servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtchat.server.postgres import EmbeddedPostgres
from tests.server.embedded import FAST, ask
from tests.services import temporary_directory


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory with a table `kept` in it. Each test leaves it in order."""
    with temporary_directory() as directory:
        with EmbeddedPostgres(directory / "data", FAST) as server:
            ask(server.url, "CREATE TABLE kept (token text)")
        yield directory / "data"


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory
