"""How a version is published: what was tried, by its digest, and by jobs that may do no more."""

import re

from tests.deploy.workflow_commands import ROOT
from tests.deploy.workflow_files import JOBS, commands, include, workflow

WRITES = {
    "ci: candidate": {"packages"},
    "ci: publish": {"packages", "id-token", "attestations"},
    "relock: propose": {"contents", "pull-requests"},
    "security: codeql": {"security-events"},
}


def test_only_these_jobs_may_write() -> None:
    may = {
        name: {scope for scope, level in job["permissions"].items() if level != "read"}
        for name, job in JOBS.items()
    }
    assert {name: scopes for name, scopes in may.items() if scopes} == WRITES


def at(name: str, what: str) -> int:
    """Where in a job the one step is that runs or uses this."""
    steps = [step.get("run", step.get("uses")) for step in JOBS[name]["steps"]]
    (found,) = [n for n, step in enumerate(steps) if what in step]
    return found


def test_what_is_published_is_the_digest_that_was_tried() -> None:
    candidate, publish = JOBS["ci: candidate"], JOBS["ci: publish"]
    built = candidate["steps"][at("ci: candidate", "build-push-action")]
    assert "push-by-digest=true" in built["with"]["outputs"]
    assert "tags" not in built["with"], "nobody can ask for it yet"
    tried = (
        "build-push-action", "$NAME@$DIGEST", "skopeo copy", "attested.py", "docker pull",
        "--no-build", "smoke.py", '"$ARCH=$DIGEST"',
    )  # fmt: skip
    order = [at("ci: candidate", what) for what in tried]
    assert order == sorted(order)
    assert candidate["outputs"].keys() == {row["arch"] for row in include("candidate")}
    assert all("steps.tried." in one for one in candidate["outputs"].values())
    assert not any("build-push-action" in step.get("uses", "") for step in publish["steps"])
    named = (
        '"$NAME@$AMD64" "$NAME@$ARM64"', "skopeo copy", "attested.py", "actions/attest@",
        '--tag "$NAME:$VERSION" "$NAME@$DIGEST"', '--tag "$NAME:$MINOR" "$NAME@$DIGEST"',
    )  # fmt: skip
    order = [at("ci: publish", what) for what in named]
    assert order == sorted(order)
    assert {"release", "candidate"} == set(publish["needs"])
    others = set(workflow("ci")["jobs"]) - {"candidate", "publish"}
    assert set(candidate["needs"]) == others, "nothing is pushed before all else has passed"


def test_it_is_published_for_each_kind_of_machine_that_builds_it() -> None:
    assert include("image") == include("candidate")
    (looks,) = [one for one in commands(JOBS["ci: publish"]) if "attested.py" in one]
    assert re.findall(r"linux/(\w+)", looks) == [row["arch"] for row in include("image")]
    wheels = (ROOT / "Dockerfile").read_text().count("--only-binary :all:")
    assert wheels == 2, "so that what has no wheel for one of them is found by `image`"
