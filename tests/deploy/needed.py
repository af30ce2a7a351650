"""What tests of deployment need and not every machine has: programs, and packages of extras.

Where one is missing, the test that needs it is skipped and says so. Where RTCHAT_TEST_DEPLOY is
set, as in CI's job `deployment`, it fails: there nothing goes unchecked without anybody noticing.
Must never: be asked for what a test can do without.
"""

import importlib
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

WANTED = bool(os.environ.get("RTCHAT_TEST_DEPLOY"))
# Beside Python are those of packages; /usr/sbin is on few people's PATH.
PLACES = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"]
PATH = os.pathsep.join(PLACES)


def skip_or_fail(reason: str) -> NoReturn:
    """End the test, or the import of its module, for want of something."""
    if WANTED:
        pytest.fail(f"{reason}, and RTCHAT_TEST_DEPLOY wants it")
    pytest.skip(reason, allow_module_level=True)


def program(name: str, comes_with: str) -> str:
    """Where a program is."""
    found = shutil.which(name, path=PATH)
    return found or skip_or_fail(f"{name} is missing ({comes_with})")


def module(name: str, comes_with: str = "pip install -e '.[deploy]'") -> Any:
    """A package, imported: without it a whole module of tests cannot be."""
    if find_spec(name) is None:
        skip_or_fail(f"{name} is missing ({comes_with})")
    return importlib.import_module(name)
