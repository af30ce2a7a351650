"""Benches: programs that drive a real server from outside, measure it and verify what it did.

`python -m bench.replay FOLDER` replays days of IRC: users, joins and messages as people made them.
"""
