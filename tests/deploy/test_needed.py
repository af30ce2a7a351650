"""What is missing is a skipped test with a reason; or a failed one, where none may be skipped."""

import pytest

from tests.deploy import needed


@pytest.mark.parametrize("wanted", [False, True])
def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    monkeypatch.setattr(needed, "WANTED", wanted)
    ends = pytest.fail.Exception if wanted else pytest.skip.Exception
    with pytest.raises(ends, match=r"no-such-program is missing \(Debian: nowhere\)"):
        needed.program("no-such-program", "Debian: nowhere")
    with pytest.raises(ends, match=r"no_such_package is missing \(pip install"):
        needed.module("no_such_package")


@pytest.mark.parametrize("wanted", [False, True])
def test_what_is_there_is_found(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    monkeypatch.setattr(needed, "WANTED", wanted)
    assert needed.program("sh", "everywhere").endswith("/sh")
    assert needed.module("json").dumps([]) == "[]"
