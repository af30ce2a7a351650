"""axe-core, which looks for what keeps people with a disability out (WCAG 2.2 A and AA)."""

from pathlib import Path
from typing import Any

from tests.checks.node import FOLDER

SCRIPT = Path(FOLDER) / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
GRAVE = ("serious", "critical")

RUN = """async (tags) => {
  const {violations} = await axe.run({runOnly: {type: "tag", values: tags}})
  return violations.map(({id, impact, help, nodes}) => [impact, id, help,
    nodes.slice(0, 5).map(({html, failureSummary}) => `${html} ${failureSummary}`)])
}"""


def missing() -> str | None:
    """What there is not."""
    if SCRIPT.is_file():
        return None
    return "axe-core is not installed: npm ci --prefix .ci/node, or RTCHAT_TEST_NODE"


async def grave_findings(page: Any) -> list[str]:
    """What is serious or critical in the page as it stands."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(SCRIPT.read_text())
    found = await page.evaluate(RUN, TAGS)
    return [f"{impact} {id_}: {help_}\n{nodes}" for impact, id_, help_, nodes in found
            if impact in GRAVE]  # fmt: skip
