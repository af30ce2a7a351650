"""An OpenID Connect provider for tests: a real HTTP server in a process of its own.

    provider    the server: discovery, a page to choose an account and consent, tokens, keys
    signing     its keys, and ID tokens signed as they should be, or as none should
    process     starting it, and telling it how to misbehave
    browser     somebody's browser, from the button through the provider's page and back

`python -m tests.oidc` runs it by hand, at port 9400.
"""
