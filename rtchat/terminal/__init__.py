"""`rtchat chat`: one person's side of the conversation, in a terminal or by lines.

`keeping` keeps the way back in, `signing` signs in. `state` is what is known, `lines` how it looks;
`talk` is between them and the client, `commands` what may be typed. `screen` draws it and takes
keys; `piped` is the form without a terminal.
"""
