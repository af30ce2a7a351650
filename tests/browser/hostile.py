"""Texts that want to be more than text, or more than their place; none does anything at a page."""

ZALGO = "Z" + "\u0335\u0334\u0321\u0322\u0316\u0317\u0300\u0301\u0302\u0303\u0310" * 40

# `window.ran` is what each would do if it ran.
MARKUP = [
    "<script>window.ran = 1</script>",
    '<img src="x" onerror="window.ran = 2">',
    '"><svg onload="window.ran = 3">',
    "<a href='javascript:window.ran = 4'>press</a>",
    "javascript:window.ran = 5",
    "[press](javascript:window.ran=5)",
    "https://user:word@a.example/",
    "http://example.org/\"onmouseover='window.ran = 6'",
    "<style>* { display: none }</style>",
    "{{constructor.constructor('window.ran = 7')()}}",
]
SHAPES = [
    "\u202e\u202eright to left \u2066 and back",
    ZALGO,
    "w" * 4000,
    "top" + "\n" * 3990 + "bottom",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏿" * 50,
    "\u200b\u200d\ufeff.",
    "ﷺ" * 300,
]
LINK = "https://example.org/" + "a" * 300

# As names they are shorter, and without control characters (docs/limits.md); in NFC, as stored.
NAMES = [
    "<b>Mallory</b><script>window.ran=8</script>",
    "W" * 60,
    "\u0179" + "\u0335" * 20 + "\u0301" * 20,
]
