"""Somebody who has the chat page open in a browser, and what the browser tells of it.

Owns: the tab, and the scripts that take figures inside it. Must never: let a figure be of anything
but what a visitor gets; the page itself knows nothing of being measured.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Frames are counted where the page draws them; the gaps are between one and the next.
FRAMES = """(seconds) => new Promise((resolve) => {
  const begun = performance.now()
  const frames = []
  const step = (now) => {
    frames.push(now)
    if (now - begun < seconds * 1000) return requestAnimationFrame(step)
    const gaps = frames.slice(1).map((at, n) => at - frames[n])
    const each = Array.from({ length: Math.floor(seconds) }, (_, second) =>
      frames.filter((at) => at - begun >= second * 1000 && at - begun < (second + 1) * 1000).length)
    resolve({
      frames_per_s: (frames.length / (now - begun)) * 1000,
      worst_frames_per_s: Math.min(...each),
      longest_frame_ms: Math.max(...gaps),
    })
  }
  requestAnimationFrame(step)
})"""

# From the key to the row that is not pending any more; ready before the key is pressed.
ACKED = """(text) => {
  window.acked = new Promise((resolve) => {
    let begun = 0
    addEventListener("keydown", () => (begun = performance.now()), { capture: true, once: true })
    const look = () => {
      const rows = [...document.querySelectorAll("li.msg:not(.pending, .failed)")].slice(-5)
      if (!begun || !rows.some((row) => row.textContent.includes(text))) return
      watcher.disconnect()
      resolve(performance.now() - begun)
    }
    const watcher = new MutationObserver(look)
    watcher.observe(document.body, { subtree: true, childList: true, attributes: true })
  })
}"""


class Onlooker:
    """A visitor who makes an account and the first channel, and stays in it."""

    def __init__(self, browser: Any, origin: str) -> None:
        self._browser = browser
        self._origin = origin
        self._page: Any = None
        self._devtools: Any = None

    async def comes_in(self) -> int:
        """Make an account and the channel `general`; returns the channel's id."""
        context = await self._browser.new_context(viewport={"width": 1280, "height": 800})
        self._page = page = await context.new_page()
        self._devtools = await context.new_cdp_session(page)
        await self._devtools.send("Performance.enable")
        await page.goto(self._origin)
        await page.get_by_role("button", name="Make an account").click()
        await page.get_by_label("Name").fill("Ann")
        await page.get_by_label("E-mail").fill("ann@example.org")
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Make an account", exact=True).click()
        await page.get_by_role("button", name="Make #general").click()
        await self._composer.wait_for()
        return int(await page.evaluate("Number(location.hash.match(/\\d+/)[0])"))

    @property
    def _composer(self) -> Any:
        return self._page.locator("textarea[name=message]")

    async def weighed(self) -> dict[str, Any]:
        """Come again, with nothing cached: the bytes of all bodies, and who was asked.

        A worker's scripts are the page's own, which it has loaded by then, so they count once.
        """
        context = await self._browser.new_context(
            storage_state=await self._page.context.storage_state()
        )
        page = await context.new_page()
        responses: list[Any] = []
        context.on("response", lambda response: responses.append(response))
        await page.goto(self._origin)
        await page.locator("textarea[name=message]").wait_for()
        await asyncio.sleep(1)  # what comes behind: the members, the icon
        sizes = {one.url: len(await one.body()) for one in responses if one.status == 200}
        hosts = {urlsplit(one.url).netloc for one in responses}
        await context.close()
        return {
            "kb": sum(sizes.values()) / 1000,
            "requests": len(sizes),
            "strangers": len(hosts - {urlsplit(self._origin).netloc}),
        }

    async def types(self, text: str) -> float:
        """Type a message and send it; returns the ms from Enter until it is shown as acked."""
        await self._composer.fill(text)
        await self._page.evaluate(ACKED, text)
        await self._composer.press("Enter")
        return float(await self._page.evaluate("window.acked"))

    async def window(self, seconds: float) -> dict[str, Any]:
        """Watch for so long: frames, and memory at the end after a collection."""
        before = await self._newest()
        found = dict(await self._page.evaluate(FRAMES, seconds))
        said = await self._newest() - before
        await self._devtools.send("HeapProfiler.collectGarbage")
        told = await self._devtools.send("Performance.getMetrics")
        metrics = {one["name"]: one["value"] for one in told["metrics"]}
        return {
            **found,
            "messages_per_s": said / seconds,
            "heap_mb": metrics["JSHeapUsedSize"] / 1e6,
            "nodes": metrics["Nodes"],
            "browser_mb": _pss_kb() / 1000,
        }

    async def _newest(self) -> int:
        text = await self._page.locator("li.msg").last.get_attribute("data-key")
        return int("".join(c for c in text or "" if c.isdigit()) or 0)


def _pss_kb() -> int:
    """The memory of all processes of our browser, what they share counted once."""
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            told = (process / "stat").read_text().rpartition(")")[2].split()
            parents[int(process.name)] = int(told[1])
    total = 0
    for pid in parents:
        with contextlib.suppress(OSError):
            if _is_below(pid, parents) and b"chrom" in Path(f"/proc/{pid}/cmdline").read_bytes():
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def _is_below(pid: int, parents: Mapping[int, int]) -> bool:
    while (pid := parents.get(pid, 0)) > 1:
        if pid == os.getpid():
            return True
    return False
