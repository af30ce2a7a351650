"""Lean scripts and styles: what goes, and what must not. Of all of ours see test_types."""

import pytest

from rtchat.web import lean

SCRIPTS = {
    "// @ts-check\n/** Says\n * what. */\nconst a = 1 // why\n": "let a=1\n",
    "let a = b\n++c\n": "let a=b\n++c\n",
    "a = b\n  + c\n": "a=b\n+c\n",
    "f(\n  a,\n  b,\n)\n": "f(a,b)\n",
    "return a\n  ? b\n  : c\n": "return a?b:c\n",
    "a + +b - -c\n": "a+ +b- -c\n",
    "say(\"a  // b\", '/* c */')\n": "say(\"a  // b\",'/* c */')\n",
    "x = `a  // ${ b + `c  ${d}` } /* e */\n  f`\n": "x=`a  // ${ b + `c  ${d}` } /* e */\n  f`\n",
    'x = y.replace(/[/*] +"/g, z) / 2 / w\n': 'x=y.replace(/[/*] +"/g,z)/2/w\n',
    "class A {\n  #one = 1\n  #two\n\n  get(b) {\n    return `${this.#one}` + b.#two\n  }\n}\n": (
        "class A{#a=1\n#b\nget(b){return`${this.#a}`+b.#b}}\n"
    ),
    'const c = "#one const"\n': 'let c="#one const"\n',
    "const d = of.const\n": "let d=of.const\n",
}


@pytest.mark.parametrize("source", SCRIPTS)
def test_a_script_loses_what_says_nothing(source: str):
    assert lean.script(source) == SCRIPTS[source]
    assert lean.script(SCRIPTS[source]) == SCRIPTS[source]


def test_private_names_are_many():
    names = [f"#name{n}" for n in range(120)]
    found = lean.script("\n".join(f"this.{name}" for name in names)).split()
    assert found[0] == "this.#a"
    assert found[52] == "this.#aa"
    assert len(set(found)) == len(names)


def test_a_style_sheet_loses_what_says_nothing():
    source = """
/* Why. */
.a > .b,
.c:hover .d {
  margin: 0 0.5rem -0.25em;
  width: calc(100% - 1.05rem); /* wide */
}
@media (max-width: 760px) {
  .e { content: ""; font: 10.5px/1.45 "Segoe UI", x }
}
"""
    assert lean.style(source) == (
        ".a>.b,.c:hover .d{margin:0 .5rem -.25em;width:calc(100% - 1.05rem)}"
        '@media (max-width:760px){.e{content:"";font:10.5px/1.45 "Segoe UI",x}}\n'
    )


def test_a_page_loses_its_indentation():
    assert lean.page("<p>\n  a\n\n    <b>c d</b>\n</p>\n") == "<p>\na\n<b>c d</b>\n</p>\n"
