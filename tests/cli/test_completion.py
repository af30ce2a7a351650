"""`rtchat completion`: a real shell completes commands and options by the script."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import clean, read

# As if Tab had been pressed behind these words.
BASH = """
{script}
COMP_WORDS=({words} ''); COMP_CWORD={at}
_rtchat_completion rtchat
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A directory with a program called `rtchat`, as pip installs it, for PATH."""
    program = tmp_path / "rtchat"
    program.write_text(f"#!{sys.executable}\nfrom rtchat.cli import main\nmain()\n")
    program.chmod(0o755)
    return tmp_path


def completed(beside: Path, *words: str) -> list[str]:
    """What bash offers behind these words."""
    script = read("completion", "bash").out
    text = BASH.format(script=script, words=" ".join(["rtchat", *words]), at=len(words) + 1)
    environment = clean()
    done = subprocess.run(
        ["bash", "-c", text],
        env={**environment, "PATH": f"{beside}:{environment['PATH']}"},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on PATH")
def test_bash_completes_commands_and_their_options(beside: Path):
    assert {"doctor", "stat", "tail", "token", "user"} <= set(completed(beside))
    assert completed(beside, "token") == ["check", "mint"]
    assert completed(beside, "completion") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell_and_asks_rtchat(shell: str):
    """Read by the shell itself, where it is there."""
    done = read("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert f"_RTCHAT_COMPLETE={shell}_complete" in done.out
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=done.out, text=True, timeout=30, check=True)
