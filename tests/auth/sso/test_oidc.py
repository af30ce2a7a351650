"""What a provider says of itself is kept for a while, and asked for again when it must be."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from rtchat.auth.sso.oidc import KEYS_AGAIN_S, ProviderClient, RefusedCodeError
from rtchat.auth.sso.outbound import ProviderError, Slots
from rtchat.config import Config
from rtchat.providers import Provider
from tests.oidc.browser import Browser
from tests.oidc.process import Idp, run_idp
from tests.oidc.provider import CLIENT_ID, CLIENT_SECRET

PUBLIC = "https://chat.example"
METADATA_S = 600
NONCE, VERIFIER, STATE = "n" * 43, "v" * 43, "s" * 43


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with run_idp() as process:
        yield process


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """A provider's client, a clock, and somebody who consents."""

    def __init__(self, idp: Idp, client: ProviderClient, clock: Clock, realm: str) -> None:
        self.idp, self.client, self.clock, self.realm = idp, client, clock, realm

    def count(self, part: str) -> int:
        found: int = self.idp.asked(self.realm)["asked"].get(part, 0)
        return found

    async def code(self, subject: str = "ann", verifier: str = VERIFIER) -> str:
        """Somebody consents; the code."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            url = await self.client.authorization_url(STATE, NONCE, verifier)
            back = await Browser(http, PUBLIC, PUBLIC).consents(url, {"sub": subject})
        return parse_qs(urlsplit(back).query)["code"][0]

    async def redeems(self, code: str) -> str:
        """Who somebody is."""
        subject: str = (await self.client.claims(code, NONCE, VERIFIER, time.time()))["sub"]
        return subject


@asynccontextmanager
async def asked(idp: Idp, **changes: object) -> AsyncIterator[Asked]:
    realm = f"r-{secrets.token_hex(4)}"
    given = {"client_secret": CLIENT_SECRET, "issuer": idp.issuer(realm), **changes}
    provider = Provider(name="corp", title="Corp", client_id=CLIENT_ID, **given)  # type: ignore[arg-type]
    clock = Clock()
    config = Config(public_url=PUBLIC, sso_metadata_s=METADATA_S)
    client = ProviderClient(config, provider, Slots(10), clock)
    idp.tells(realm)
    yield Asked(idp, client, clock, realm)
    await client.close()


async def test_document_and_keys_are_asked_for_once_in_a_while(idp: Idp):
    async with asked(idp) as provider:
        for _ in range(3):
            assert await provider.redeems(await provider.code()) == "ann"
        assert (provider.count("discovery"), provider.count("jwks")) == (1, 1)
        provider.clock.now += METADATA_S
        await provider.redeems(await provider.code())
        assert (provider.count("discovery"), provider.count("jwks")) == (2, 2)


async def test_an_unknown_key_has_the_keys_asked_for_once_more(idp: Idp):
    """OpenID Connect Core §10.1.1: at once, and not more often than every few seconds."""
    async with asked(idp) as provider:
        await provider.redeems(await provider.code())
        provider.clock.now += KEYS_AGAIN_S
        code = await provider.code()
        idp.tells(provider.realm, rotate=True)
        assert await provider.redeems(code) == "ann"
        assert provider.count("jwks") == 1  # since it was told

        code = await provider.code()
        idp.tells(provider.realm, rotate=True)
        with pytest.raises(ProviderError, match="unknown key"):
            await provider.redeems(code)
        assert provider.count("jwks") == 0
        provider.clock.now += KEYS_AGAIN_S
        assert await provider.redeems(await provider.code()) == "ann"


async def test_a_document_that_is_wrong_is_not_kept(idp: Idp):
    async with asked(idp) as provider:
        with (
            idp.misbehaving(provider.realm, discovery={"says": {"issuer": "https://evil.example"}}),
            pytest.raises(ProviderError, match="another issuer"),
        ):
            await provider.client.metadata()
        assert (await provider.client.metadata()).issuer == idp.issuer(provider.realm)


async def test_what_was_good_is_used_while_the_provider_is_away(idp: Idp):
    """Its document and keys, not longer than they are kept."""
    async with asked(idp) as provider:
        await provider.redeems(await provider.code())
        with idp.misbehaving(provider.realm, discovery={"body": "error"}, jwks={"body": "error"}):
            assert await provider.redeems(await provider.code()) == "ann"
            provider.clock.now += METADATA_S
            with pytest.raises(ProviderError) as told:
                await provider.client.metadata()
            assert told.value.away


@pytest.mark.parametrize("methods", [["client_secret_post"], ["client_secret_basic"], ["other"]])
async def test_the_secret_is_shown_as_the_provider_wants_it(idp: Idp, methods: list[str]):
    """In the body or in the header, with whatever characters it has."""
    async with asked(idp) as provider:
        says = {"token_endpoint_auth_methods_supported": methods}
        idp.tells(provider.realm, discovery={"says": says})
        assert await provider.redeems(await provider.code()) == "ann"


@pytest.mark.parametrize("secret", ["wrong", ""])
async def test_a_wrong_secret_is_the_providers_refusal(idp: Idp, secret: str):
    """An operator's mistake, not somebody's: said in the log."""
    async with asked(idp, client_secret=secret) as provider:
        with pytest.raises(ProviderError, match="invalid_client"):
            await provider.redeems(await provider.code())


async def test_a_code_without_its_verifier_is_refused(idp: Idp):
    """S-33: PKCE, as the provider checks it."""
    async with asked(idp) as provider:
        with pytest.raises(RefusedCodeError):
            await provider.redeems(await provider.code(verifier="w" * 43))
        async with httpx2.AsyncClient(trust_env=False) as http:
            form = {
                "grant_type": "authorization_code",
                "code": await provider.code(),
                "redirect_uri": provider.client.redirect_uri,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
            }
            url = f"{idp.issuer(provider.realm)}/token"
            assert (await http.post(url, data=form)).json()["error"] == "invalid_grant"


async def test_a_code_is_redeemed_once(idp: Idp):
    async with asked(idp) as provider:
        code = await provider.code()
        assert await provider.redeems(code) == "ann"
        with pytest.raises(RefusedCodeError):
            await provider.redeems(code)


async def test_the_request_has_what_oauth_and_openid_connect_want(idp: Idp):
    async with asked(idp, scopes="openid email") as provider:
        url = await provider.client.authorization_url(STATE, NONCE, VERIFIER)
        assert url.startswith(f"{idp.issuer(provider.realm)}/authorize?")
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query.pop("code_challenge") not in ("", VERIFIER)
    assert query == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{PUBLIC}/auth/oauth/corp/callback",
        "scope": "openid email",
        "state": STATE,
        "nonce": NONCE,
        "code_challenge_method": "S256",
    }
