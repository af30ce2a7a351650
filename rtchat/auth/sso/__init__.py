"""Single sign-on by OpenID Connect: a provider vouches for somebody, in three requests.

    flow        begin → (the provider's pages) → finish → exchange: who signs in here, or links
    pages       the browser's side: its cookie, where it may be sent, what it is told
    oidc        the provider's side: its document and keys, the code redeemed
    id_token    what a provider says of somebody, believed only when every claim of it is right
    people      which user that is: found, made, linked
    profile     a name and an address for a new user, of claims that may hold anything
    outbound    the only way out: no redirects, few hosts, little time, few bytes

Must never: log or store a code, a state or a token that could still be used; link by address.
"""
