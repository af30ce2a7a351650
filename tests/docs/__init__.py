"""The documents: what is generated is fresh, what is shown runs, what is named exists."""
