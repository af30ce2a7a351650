"""What operators do from beside the servers: look, follow, and take care of people.

Owns: the work behind the commands `doctor`, `stat`, `tail`, `user`, `channel` and `token`; `cli`
parses and prints. What is decided from what was seen is plain code without I/O, a function beside
the look. Must never: be needed by a server, or wait without a bound. Nothing is kept here.
"""
