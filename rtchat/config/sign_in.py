"""The settings of sign-in: keys and tokens, sessions, passwords, single sign-on.

Owns: a part of the one list of settings, `Config`; how they relate is asserted there.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from rtchat.config.kinds import number, text

PEM_MAX_CHARS = 65_536


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What `Config` holds of sign-in."""

    # --- keys
    secret_key: Annotated[
        str, text("signs access tokens; at least 32 bytes, the same on every pod", secret=True)
    ] = ""
    secret_keys_old: Annotated[
        str, text("secrets that signed before, comma-separated: still believed", secret=True)
    ] = ""
    signing_key: Annotated[
        str,
        text(
            "PEM of an Ed25519, RSA or P-256 key that signs access tokens in the secret's place",
            secret=True,
            max_length=PEM_MAX_CHARS,
        ),
    ] = ""
    verification_keys: Annotated[
        str,
        text(
            "PEMs, one after the other, of keys that sign elsewhere or signed before: believed",
            secret=True,
            max_length=PEM_MAX_CHARS,
        ),
    ] = ""
    token_issuer: Annotated[
        str, Meta(min_length=1, max_length=256, description="`iss` of access tokens")
    ] = "rtchat"  # noqa: S105  a name
    token_audience: Annotated[
        str, Meta(min_length=1, max_length=256, description="`aud` of access tokens")
    ] = "rtchat"  # noqa: S105  a name

    # --- sign-in
    access_token_s: Annotated[
        int,
        number(30, 3600, "life of an access token, seconds", "token: `token_expired`, close 4202"),
    ] = 900
    session_s: Annotated[
        int,
        number(
            600,
            31_536_000,
            "life of a session, seconds; then sign in again",
            "session: `unauthorized`",
        ),
    ] = 2_592_000
    sessions_per_user: Annotated[
        int,
        number(
            0,
            10_000,
            "sessions a user; beyond: the one unused longest ends",
            "user: the one unused longest ends, close 4004",
        ),
    ] = 100
    fresh_sign_in_s: Annotated[
        int,
        number(
            30,
            3600,
            "another way in is added in a session at most so old, seconds",
            "session: `forbidden`",
        ),
    ] = 300
    token_leeway_s: Annotated[
        int, number(0, 120, "clock skew that a token's times are allowed, seconds")
    ] = 30
    password_min_chars: Annotated[
        int, number(8, 64, "shortest password, code points", "password: `bad_field`")
    ] = 8
    password_max_bytes: Annotated[
        int, number(64, 4096, "longest password, UTF-8 bytes", "password: `too_long`")
    ] = 1024
    bcrypt_cost: Annotated[int, number(10, 16, "log2 of bcrypt's rounds")] = 12
    password_threads: Annotated[int, number(1, 16, "passwords hashed at once")] = 1
    password_queue: Annotated[
        int,
        number(
            1,
            10_000,
            "passwords waiting to be hashed; beyond: `overloaded`",
            "process: `overloaded`",
        ),
    ] = 32

    # --- guessing
    account_failures_max: Annotated[
        int,
        number(
            0,
            10_000,
            "wrong passwords an account in 24 hours, ten at once; as many on a known device",
            "account, on all pods: `rate_limited`",
        ),
    ] = 100
    address_failures_max: Annotated[
        int,
        number(
            0,
            10**6,
            "failed sign-ins an address in 24 hours; and failed refreshes",
            "address, on all pods: `rate_limited`",
        ),
    ] = 1000

    # --- single sign-on: see `providers`
    public_url: Annotated[
        str, text("the server's own address as browsers see it: https://chat.example")
    ] = ""
    sso_return_url: Annotated[
        str,
        text("page to which sign-in leads back, there or at one of `origins`; empty: public_url/"),
    ] = ""
    google_client_id: Annotated[str, text("as Google names this app; empty: no Google")] = ""
    google_client_secret: Annotated[str, text("the app's secret at Google", secret=True)] = ""
    microsoft_client_id: Annotated[
        str, text("as Microsoft Entra names this app; empty: no Microsoft")
    ] = ""
    microsoft_client_secret: Annotated[str, text("the app's secret there", secret=True)] = ""
    microsoft_tenant: Annotated[
        str,
        Meta(
            pattern=r"^(common|organizations|consumers|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$",
            description="who may sign in: common, organizations, consumers, or one tenant's id",
        ),
    ] = "common"
    microsoft_authority: Annotated[
        str, text("Microsoft's sign-in, which national clouds have one of their own of")
    ] = "https://login.microsoftonline.com"
    oidc_providers: Annotated[
        str, text("further providers, a JSON list: name, title, issuer, clientId …", secret=True)
    ] = ""
    sso_state_s: Annotated[
        int,
        number(
            1,
            3600,
            "a sign-in at a provider must end within this, seconds",
            "sign-in: `bad_message`",
        ),
    ] = 600
    sso_code_s: Annotated[
        int,
        number(
            1,
            60,
            "life of the code that the page trades for a session, seconds",
            "sign-in: `not_found`",
        ),
    ] = 60
    sso_flows_max: Annotated[
        int,
        number(
            0,
            10**6,
            "sign-ins begun within that time; beyond: `overloaded`",
            "process: `overloaded`",
        ),
    ] = 20_000
    sso_calls_max: Annotated[
        int,
        number(
            1, 1000, "calls to providers at once; beyond: `unavailable`", "process: `unavailable`"
        ),
    ] = 32
    sso_call_timeout_ms: Annotated[
        int,
        number(
            100,
            60_000,
            "one call to a provider, from its name's look-up to its last byte",
            "call: `unavailable`",
        ),
    ] = 5000
    sso_answer_max_bytes: Annotated[
        int, number(4096, 2**24, "largest answer of a provider", "answer: `unavailable`")
    ] = 262_144
    sso_metadata_s: Annotated[
        int, number(0, 86_400, "age at which a provider's document and keys are asked for again")
    ] = 3600

    @property
    def old_secrets(self) -> list[str]:
        """The secrets that signed before."""
        return self.secret_keys_old.replace(",", " ").split()
