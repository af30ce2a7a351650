"""A way through the list of messages, screen by screen, and what is seen on it."""

from dataclasses import dataclass
from typing import Any

# Between two turns of the wheel it waits for frames: whatever moves then moved by itself. At an end
# of what is loaded it waits until more is there.
WALK = """async (log, [step, until]) => {
  const found = {seen: [], disorders: [], slips: [], rows: 0, loads: 0}
  const seen = new Set()
  const frame = () => new Promise(requestAnimationFrame)
  const box = log.getBoundingClientRect()
  const key = (row) => Number(row?.dataset.key.slice(1) ?? 0)
  const outermost = () => [...log.querySelectorAll(".msg")].at(step < 0 ? 0 : -1)
  const isAtEnd = () => step < 0
    ? log.scrollTop === 0 && log.querySelector(".start")
    : log.scrollTop + log.clientHeight >= log.scrollHeight - 1
      && !document.querySelector(".jump:not([hidden])")
  const look = () => {
    found.rows = Math.max(found.rows, log.querySelectorAll("li").length)
    let last = 0
    for (const row of log.querySelectorAll(".msg")) {
      if (key(row) <= last) found.disorders.push([last, key(row)])
      last = key(row)
      const {top, bottom} = row.getBoundingClientRect()
      if (bottom > box.top && top < box.bottom) seen.add(last)
    }
  }
  for (look(); !isAtEnd() && !seen.has(until); look()) {
    log.scrollTop += step * log.clientHeight
    const row = [...log.querySelectorAll(".msg")]
      .find((one) => one.getBoundingClientRect().bottom > box.y + box.height / 2)
    const {top} = row.getBoundingClientRect()
    const before = outermost()
    const left = step < 0 ? log.scrollTop : log.scrollHeight - log.scrollTop - log.clientHeight
    const mustLoad = left < 1 && !isAtEnd()
    do await frame()
    while (mustLoad && outermost() === before && !isAtEnd())
    await frame()
    await new Promise((go) => setTimeout(go)) // a wheel turns between frames
    if (outermost() !== before) found.loads++
    const slip = row.getBoundingClientRect().top - top
    if (slip) found.slips.push(slip)
  }
  found.seen = [...seen]
  return found
}"""


@dataclass(frozen=True, slots=True)
class Way:
    """What was seen: seqs in the order of seeing, and what a list must not do."""

    seen: list[int]
    disorders: list[list[int]]  # neighbours in the page that are not in order
    slips: list[float]  # by how much the row under the pointer moved, with no hand on the wheel
    rows: int  # the most that were in the page at once
    loads: int  # how often more came in


async def walk(person: Any, step: float, until: int = 0) -> Way:
    """Go by parts of a screen, up where they are negative, to the end or to a message in sight."""
    return Way(**await person.log.evaluate(WALK, [step, until]))
