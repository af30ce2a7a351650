"""What is made from the code stands in docs/ as the code makes it now."""

from pathlib import Path

import pytest

from tests.docs.generated import GENERATED


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_document_is_fresh(path: Path):
    assert path.read_text() == GENERATED[path](), "python -m tests.docs"
