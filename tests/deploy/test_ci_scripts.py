"""The scripts of .ci that workflows call: what they ask of a deployment and of an image."""

import json
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import rtchat
from tests.pods import ROOT, Pod, Pods


def script(name: Path | str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / ".ci" / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_one_message_goes_through_a_pod(pod: Pod) -> None:
    """What is asked of the containers, asked of a pod."""
    done = script("smoke.py", pod.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "acked, heard and kept" in done.stdout


def test_nobody_at_the_address_is_told() -> None:
    done = script("smoke.py", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "Error: POST /auth/register" in done.stderr


def test_a_path_of_operators_is_told(pods: Pods, database_url: str) -> None:
    """Where it is answered at the clients' address, though it asks for the token."""
    pod = pods.spawn(database_url, internal_token="0123456789abcdef").wait()
    done = script("smoke.py", pod.url)
    pod.kill()
    assert done.returncode == 1
    assert done.stderr == "Error: /metrics is for operators, and answered here\n"


def add(tar: tarfile.TarFile, name: str, document: Any) -> None:
    data = json.dumps(document).encode()
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, BytesIO(data))


def archive(path: Path, *predicates: str) -> None:
    """An image in the layout that BuildKit writes, with what is attested of it."""

    index, manifest = (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
    )
    annotations = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": "sha256:image",
    }
    with tarfile.open(path, "w") as tar:
        add(tar, "index.json", {"manifests": [{"mediaType": index, "digest": "sha256:index"}]})
        runs = {"os": "linux", "architecture": "arm64"}
        entries: list[dict[str, Any]] = [
            {"mediaType": manifest, "digest": "sha256:image", "platform": runs}
        ]
        entries += [{"mediaType": manifest, "digest": "sha256:told", "annotations": annotations}]
        add(tar, "blobs/sha256/index", {"manifests": entries})
        layers = [{"digest": f"sha256:{n}"} for n in range(len(predicates))]
        add(tar, "blobs/sha256/told", {"layers": layers})
        for n, kind in enumerate(predicates):
            statement = {"subject": [{"name": "_"}], "predicateType": kind, "predicate": {"a": 1}}
            add(tar, f"blobs/sha256/{n}", statement)


SBOM, PROVENANCE = "https://spdx.dev/Document", "https://slsa.dev/provenance/v1"


@pytest.mark.parametrize(
    ("attested", "missing"),
    [
        ((SBOM, PROVENANCE), ""),
        ((PROVENANCE,), "sha256:image has not an SBOM\n"),
        ((SBOM,), "sha256:image has not a provenance\n"),
    ],
    ids=["both", "no SBOM", "no provenance"],
)
def test_an_image_without_its_papers_is_told(
    tmp_path: Path, attested: tuple[str, ...], missing: str
) -> None:
    path = tmp_path / "image.tar"
    archive(path, *attested)
    done = script("attested.py", path, "linux/arm64")
    assert (done.returncode, done.stderr) == (1 if missing else 0, missing)
    assert done.stdout == ("" if missing else "digest=sha256:index\n")


def test_an_image_for_fewer_machines_is_told(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    archive(path, SBOM, PROVENANCE)
    done = script("attested.py", path, "linux/arm64", "linux/amd64")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "there is no image for linux/amd64\n"


@pytest.mark.parametrize("number", [0, 2])
def test_an_archive_without_one_image_is_told(tmp_path: Path, number: int) -> None:
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "index.json", {"manifests": number * [{"digest": "sha256:index"}]})
    done = script("attested.py", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"there is not one image, but {number}\n"


VERSION = rtchat.__version__


@pytest.mark.parametrize(
    ("version", "minor"), [(VERSION, VERSION.rpartition(".")[0]), ("7.8.9rc1", "")]
)
def test_a_tag_names_the_image(tmp_path: Path, version: str, minor: str) -> None:
    """Of a release candidate nothing that anybody has already asked for."""
    for name in (".ci/release.py", "pyproject.toml", "rtchat/__init__.py", "Dockerfile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text().replace(VERSION, version))
    done = script(tmp_path / ".ci" / "release.py", f"v{version}", "Owner/RTchat")
    assert done.stderr == ""
    expected = ["image=ghcr.io/owner/rtchat", f"version={version}", f"minor={minor}"]
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize("tag", ["v9.9.9", VERSION, "v9", "main", f"v{VERSION}.post1"])
def test_a_tag_of_another_version_is_told(tag: str) -> None:
    done = script("release.py", tag, "owner/rtchat")
    assert (done.returncode, done.stdout) == (1, "")
    assert all(line.startswith(f"{tag} ") for line in done.stderr.splitlines())
    places = ("pyproject.toml", "rtchat/__init__.py", "Dockerfile")
    assert tag != "v9.9.9" or all(place in done.stderr for place in places)
