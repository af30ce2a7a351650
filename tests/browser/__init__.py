"""The chat page in a real browser, on real pods, as people use it."""
