"""One database for each file of tests: every test makes people and channels of its own."""

from pathlib import Path

import pytest

from tests.embedding import document


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    return module_database_url


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the document's files."""
    directory = tmp_path_factory.mktemp("document")
    document.write_files(directory)
    return directory
