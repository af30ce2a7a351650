"""Checks by others' tools: of the documents that describe the interface, and of the server by them.

    node              programs of node, where they are installed (`.ci/node`)
    references        what a document refers to, and its schemas, without node
    scene             people and channels that calls made by lot can meet
    fuzzing           one run of Schemathesis: what it is given, and what it reports

`python -m tests.checks --seconds 600` runs Schemathesis for longer, with other cases each time.
"""
