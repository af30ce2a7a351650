"""`python -m bench report DIRECTORY`: one page of what was measured, with plots.

Reads the JSON files that benches wrote (`--json DIRECTORY/name.json`) and makes one self-contained
HTML page, light and dark. `--docs` writes docs/benchmarks.md and its plots from the same files. It
measures nothing and knows no figure: what is not in the files is not on the page.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import click
import orjson

from bench.charts import CHARTS
from bench.plot import STYLE

ROOT = Path(__file__).parents[1]
ORDER = (
    "compare", "fanout", "latency", "ingest", "writer", "connect", "idle", "rest", "history",
    "scale", "workers", "page", "profile", "replay",
)  # fmt: skip
Found = dict[str, Any]

_PAGE_STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#1d2433;--soft:#5b6475;--line:#dfe3ea;
--tint:#f5f7fa}
@media (prefers-color-scheme:dark){:root{--page:#12161e;--ink:#e6e9ef;--soft:#a3acbd;--line:#333b4a;
--tint:#1a202b}}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem 4rem;background:var(--page);
color:var(--ink);font:16px/1.55 system-ui,sans-serif}
h1{font-size:1.9rem;line-height:1.2}h2{margin-top:3rem;border-top:1px solid var(--line);
padding-top:1.5rem}
nav a{margin-right:.9rem}a{color:inherit}.about,figcaption{color:var(--soft);font-size:.85rem}
.about code{white-space:normal;overflow-wrap:anywhere}figure{margin:1.5rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;
font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600;text-align:right}tbody tr:hover{background:var(--tint)}
svg{max-width:100%;height:auto}.note{background:var(--tint);padding:.5rem .8rem;border-radius:.4rem}
""".replace("\n", "")


def read(directory: Path) -> list[Found]:
    """All outcomes in a directory, in the order in which they are told."""
    found = [orjson.loads(path.read_bytes()) for path in sorted(directory.glob("*.json"))]
    found = [one for one in found if "bench" in one]
    rank = {name: n for n, name in enumerate(ORDER)}
    return sorted(found, key=lambda one: rank.get(one["bench"], len(ORDER)))


def cells(found: Found) -> tuple[list[str], list[list[str]]]:
    """The titles and the texts of an outcome's table; columns without a value are left out."""
    rows = found["rows"]
    columns = [c for c in found["columns"] if any(row.get(c[0]) is not None for row in rows)]

    def text(row: Found, key: str, form: str) -> str:
        value = row.get(key)
        if value is None:
            return ""
        return value if isinstance(value, str) else form.format(value)

    return [c[1] for c in columns], [[text(row, c[0], c[2]) for c in columns] for row in rows]


def html(found: Sequence[Found]) -> str:
    """The page."""
    links = "".join(f'<a href="#{one["bench"]}">{escape(one["bench"])}</a>' for one in found)
    sections = "".join(_section(one) for one in found)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>rtchat: benchmarks</title><style>{_PAGE_STYLE}{STYLE}</style></head><body>"
        "<h1>rtchat: benchmarks</h1><p>Every message is stored, with fsync on, before it is acked"
        " or delivered. Figures of one run on one machine: compare them with each other, not with"
        f" those of another machine.</p><nav>{links}</nav>{sections}</body></html>\n"
    )


def _section(found: Found) -> str:
    titles, rows = cells(found)
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>"
        for title, svg in charts(found)
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in found["notes"])
    return (
        f'<section id="{escape(found["bench"])}"><h2>{escape(found["bench"])}</h2>'
        f"<p>{escape(found['question'])}</p>{figures}"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'{notes}<p class="about">{_about(found)}</p></section>'
    )


def _about(found: Found) -> str:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"<code>{escape(found['command'])}</code><br>{escape(found['date'])} ·"
        f" {escape(machine['cpu'])}, {machine['cores']} cores, {machine['memory_gb']} GB,"
        f" {escape(machine['system'])} · {escape(versions)}"
    )


def charts(found: Found) -> list[tuple[str, str]]:
    """The titles and plots of an outcome."""
    draw: Callable[[Found], list[tuple[str, str]]] | None = CHARTS.get(found["bench"])
    return draw(found) if draw is not None else []


def markdown(found: Sequence[Found], plots: Path) -> str:
    """docs/benchmarks.md, below what is written there by hand; plots go to a folder beside it."""
    plots.mkdir(parents=True, exist_ok=True)
    parts: list[str] = []
    for one in found:
        parts.append(f"## {one['bench']}\n\n{one['question'].capitalize()}.\n")
        for n, (title, svg) in enumerate(charts(one)):
            path = plots / f"{one['bench']}{f'-{n + 1}' if n else ''}.svg"
            path.write_text(svg + "\n")
            parts.append(f"![{title}]({plots.name}/{path.name})\n")
        titles, rows = cells(one)
        table = ["| " + " | ".join(titles) + " |", "|" + "---:|" * len(titles)]
        table += ["| " + " | ".join(row) + " |" for row in rows]
        parts.append("\n".join(table) + "\n")
        parts += [f"*{note}*\n" for note in one["notes"]]
        parts.append(f"`{one['command']}`, {one['date']}.\n")
    return "\n".join(parts)


BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write_docs(found: Sequence[Found], path: Path) -> None:
    """Put the figures between the marks of docs/benchmarks.md; what is around them stays."""
    text = path.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise click.ClickException(f"{path} has no place for the figures ({BEGIN} … {END})")
    machine = found[0]["machine"]
    versions = ", ".join(f"{n} {v}" for n, v in found[0]["versions"].items())
    about = (
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB,"
        f" {machine['system']}; {versions}.\n"
    )
    made = markdown(found, path.parent / "benchmarks")
    path.write_text(f"{before}{BEGIN}\n\n{about}\n{made}\n{END}{after}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--html", "html_path", type=click.Path(dir_okay=False, path_type=Path),
              help="Where the page goes; else DIRECTORY/report.html.")  # fmt: skip
@click.option("--docs", is_flag=True, help="Write docs/benchmarks.md and its plots as well.")
def main(directory: Path, html_path: Path | None, docs: bool) -> None:
    """Make one HTML page of the outcomes (*.json) in DIRECTORY."""
    found = read(directory)
    if not found:
        raise click.ClickException(f"{directory} has no outcome: run a bench with --json first")
    path = html_path or directory / "report.html"
    path.write_text(html(found))
    print(f"written: {path} ({path.stat().st_size / 1000:.0f} KB)")
    if docs:
        write_docs(found, ROOT / "docs" / "benchmarks.md")
        print("written: docs/benchmarks.md")


if __name__ == "__main__":
    main()
