"""Whether an image has an SBOM and a provenance, before anybody relies on it.

    docker buildx build --sbom=true --provenance=mode=max --output type=oci,dest=image.tar .
    skopeo copy --all --preserve-digests docker://IMAGE oci-archive:image.tar   # of a registry
    python .ci/attested.py image.tar [linux/amd64 ...]

Reads the archive (OCI image layout), which holds an index of images and, beside each, a manifest of
what BuildKit attests of it. Exit status 0: every image has both, and those platforms are there.
Then it prints what it looked at, as `digest=…`. Needs no packages.
"""

import json
import sys
import tarfile
from collections.abc import Iterator
from typing import Any

WANTED = {
    "an SBOM": "https://spdx.dev/Document",
    "a provenance": "https://slsa.dev/provenance/",  # its version follows
}
KIND, OF = "vnd.docker.reference.type", "vnd.docker.reference.digest"


def blob(archive: tarfile.TarFile, digest: str) -> Any:
    """A document of the archive, by its digest."""
    file = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
    assert file is not None, digest
    return json.load(file)


def manifests(archive: tarfile.TarFile, index: Any) -> Iterator[Any]:
    """What an index leads to, by way of other indexes."""
    for entry in index["manifests"]:
        if entry["mediaType"].endswith((".index.v1+json", ".manifest.list.v2+json")):
            yield from manifests(archive, blob(archive, entry["digest"]))
        else:
            yield entry


def statements(archive: tarfile.TarFile, entry: Any) -> Iterator[str]:
    """The kinds of what is attested; each statement must be there, and about something."""
    for layer in blob(archive, entry["digest"])["layers"]:
        statement = blob(archive, layer["digest"])
        if statement["subject"] and statement["predicate"]:
            yield statement["predicateType"]


def platform(entry: Any) -> str:
    """What an image runs on."""
    named = entry.get("platform", {})
    return f"{named.get('os')}/{named.get('architecture')}"


def missing(archive: tarfile.TarFile, index: Any, platforms: list[str]) -> list[str]:
    """What the images of an archive have not."""
    entries = list(manifests(archive, index))
    images = {one["digest"]: one for one in entries if KIND not in one.get("annotations", {})}
    attested: dict[str, set[str]] = {digest: set() for digest in images}
    for one in entries:
        if one["digest"] not in attested:
            attested[one["annotations"][OF]] |= set(statements(archive, one))
    papers = [
        f"{digest} has not {name}"
        for digest, kinds in attested.items()
        for name, kind in WANTED.items()
        if not any(one.startswith(kind) for one in kinds)
    ]
    there = {platform(one) for one in images.values()}
    return papers + [f"there is no image for {one}" for one in platforms if one not in there]


def main(path: str, platforms: list[str]) -> None:
    """Look at one archive; ends with what is missing, or prints what was looked at."""
    with tarfile.open(path) as archive:
        file = archive.extractfile("index.json")
        assert file is not None, "no OCI image layout"
        index = json.load(file)
        if len(index["manifests"]) != 1:
            sys.exit(f"there is not one image, but {len(index['manifests'])}")
        if lacking := missing(archive, index, platforms):
            sys.exit("\n".join(lacking))
    sys.stdout.write(f"digest={index['manifests'][0]['digest']}\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
