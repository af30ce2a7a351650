"""Who somebody is: passwords, tokens, sessions. (Single sign-on has its place here too.)

Must never: log or answer with a password, a token or a hash.
"""
