"""A message as the page shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`seq`: its place in the log, 0 while it is on its way; `by`: whose name is read out."""

    seq: int
    by: str
    text: str
    state: str  # "", "pending", "failed", "deleted"


ROWS = """(log) => [...log.querySelectorAll(".msg")].map((row) => ({
  seq: Number(/^m(\\d+)$/.exec(row.dataset.key)?.[1] ?? 0),
  by: row.querySelector("bdi").textContent,
  text: row.querySelector(".text").textContent,
  state: ["pending", "failed", "deleted"].find((name) => row.classList.contains(name)) ?? "",
}))"""
