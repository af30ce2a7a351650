"""The REST handlers, by resource: each turns a `Call` into a status and an answer."""
