"""The bench of the log's writer: every way stores each of its rows once."""

import asyncio

import pytest

from bench import writer


@pytest.mark.parametrize("size", [1, 7, 120])
@pytest.mark.parametrize("variant", writer.VARIANTS)
def test_every_way_stores_every_row(module_database_url: str, variant: str, size: int) -> None:
    row = asyncio.run(writer.measure(module_database_url, variant, size, seconds=0.0))
    assert row["missing"] == 0
    assert row["batches"] == 3
    assert row["rows_per_s"] > 0
