"""Runs one target under atheris: the child process of `python -m tests.fuzz`.

Owns: instrumenting rtchat before anything of it is imported, and libFuzzer's options. It ends with
libFuzzer, which ends the process.
"""

import sys
from pathlib import Path
from random import Random

INPUT_MAX_BYTES = 4096
INPUT_MAX_S = 5  # beyond: a finding


def main(name: str, seconds: str, corpus: str, artifacts: str) -> None:
    """Fuzz until the time is over or something is found."""
    import atheris

    with atheris.instrument_imports(include=["rtchat", "tests.fuzz"]):
        from tests.fuzz.pod import opened  # which imports all of rtchat
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    fuzzed = opened(name)
    for number, data in enumerate(fuzzed.corpus):
        (folder / f"seed-{number}").write_bytes(data)
    options = [
        sys.argv[0], str(folder), f"-max_total_time={seconds}", f"-artifact_prefix={artifacts}",
        f"-max_len={INPUT_MAX_BYTES}", f"-timeout={INPUT_MAX_S}", "-print_final_stats=1",
    ]  # fmt: skip

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        """Every fourth time libFuzzer's way, else by what stands in the corpus: most parsers are
        C, of which no coverage comes back."""
        if seed % 4 == 0:
            changed: bytes = atheris.Mutate(data, max_size)
            return changed
        return fuzzed.mutated(data, Random(seed))[:max_size]

    atheris.Setup(options, fuzzed.run, custom_mutator=mutate, enable_python_coverage=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
