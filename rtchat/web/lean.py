"""What pages load, as it goes out: without comments, and without blanks that say nothing.

Owns: what a page weighs before compression, two fifths less so. No statement is changed, but that
`const` is `let`, as types were checked before; and no name but private ones (`#name`), which
nothing outside of their file can know. Must never: touch a
string, the text of a template, or a regular expression. Pure; done once for each asset.

It knows as much of JavaScript as our own modules use; tests/web holds it to each of them. rjsmin
(1.3) was tried instead: it puts private fields on one line without a word between them, which is no
script any more, takes a template in a template for text, and leaves 4 KB that the page has not got.
"""

import re

_GAP = re.compile(r"(?:\s|/\*.*?\*/|//[^\n]*)+", re.DOTALL)
_TOKEN = re.compile(
    r"""[\w$\#@]+ | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | .""", re.DOTALL | re.VERBOSE
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
_TEMPLATE_PART = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)
_BEFORE_REGEX = frozenset("(,=:[!&|?{};")  # behind anything else a slash divides
_OPEN = frozenset("{([,;:?&|=")  # a line that ends so goes on in the next one
_CLOSED = frozenset("})],.?:&|=")  # and one that begins so goes on from the one before
_CLOSING = frozenset("})]")
_WORD = re.compile(r"[\w$\#@]")
_SHORTER = {"const": "let"}
_PRIVATE = re.compile(r"#[a-zA-Z]\w*")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

_INDENT = re.compile(r"\n\s+")
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CSS_BLANKS = re.compile(r"\s+")
_CSS_SIGN = re.compile(r" ?([{};,>]) ?")
_CSS_ZERO = re.compile(r"(?<=[ ,:(-])0(?=\.\d)")


def script(source: str) -> str:
    """A module that does the same; line breaks that may end a statement stay."""
    out: list[str] = []
    names: dict[str, str] = {}
    at, last = 0, ";"
    while at < len(source):
        gap = _GAP.match(source, at)
        at = gap.end() if gap else at
        token = _token(source, at, last)
        if not token:
            break
        if last == "," and token in _CLOSING:  # behind the last of several
            out[-1] = ""
        said = _SHORTER.get(token, token) if last != "." else token  # `of.const` is a name
        out += _between(last, gap[0] if gap else "", token[0]), _renamed(said, names)
        at, last = at + len(token), token[-1]
    return "".join(out) + "\n"


def style(source: str) -> str:
    """A style sheet that says the same."""
    text = _CSS_BLANKS.sub(" ", _CSS_COMMENT.sub("", source))
    text = _CSS_SIGN.sub(r"\1", text).replace(": ", ":").replace(";}", "}")
    return _CSS_ZERO.sub("", text).strip() + "\n"


def page(source: str) -> str:
    """A page whose lines are not indented."""
    return _INDENT.sub("\n", source)


def _token(source: str, at: int, last: str) -> str:
    if source.startswith("`", at):
        return source[at : _template_end(source, at)]
    if source.startswith("/", at) and last in _BEFORE_REGEX and (found := _REGEX.match(source, at)):
        return found[0]
    found = _TOKEN.match(source, at)
    return found[0] if found else ""


def _template_end(source: str, at: int) -> int:
    """Where a template ends; what stands in its braces may hold others."""
    at = _past(_TEMPLATE_PART, source, at + 1)
    while source.startswith("${", at):
        depth, at, last = 1, at + 2, "{"
        while depth:
            at = _past(_GAP, source, at)
            token = _token(source, at, last)
            assert token, "a template that does not end"
            depth += {"{": 1, "}": -1}.get(token, 0)
            at, last = at + len(token), token[-1]
        at = _past(_TEMPLATE_PART, source, at)
    assert source.startswith("`", at), "a template that does not end"
    return at + 1


def _renamed(token: str, names: dict[str, str]) -> str:
    """A private name by its letter; so too in the braces of a template."""
    if _PRIVATE.fullmatch(token):
        return names.setdefault(token, f"#{_letter(len(names))}")
    if token.startswith("`"):
        return re.sub(r"(?<=\bthis\.)#[a-zA-Z]\w*", lambda name: _renamed(name[0], names), token)
    return token


def _letter(number: int) -> str:
    rest, at = divmod(number, len(_LETTERS))
    return (_letter(rest - 1) if rest else "") + _LETTERS[at]


def _past(part: re.Pattern[str], source: str, at: int) -> int:
    found = part.match(source, at)
    return found.end() if found else at


def _between(last: str, gap: str, first: str) -> str:
    """What stays of a gap between two signs."""
    if "\n" in gap and last not in _OPEN and first not in _CLOSED:
        return "\n"
    is_apart = (_WORD.match(last) and _WORD.match(first)) or (last == first and last in "+-/")
    return " " if gap and is_apart else ""
