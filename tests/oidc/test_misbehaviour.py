"""A provider that misbehaves signs nobody in, harms nothing, and is believed again once it is good.

`failed` is what the page is told where a provider said something that is not right, `unavailable`
where it could not be asked; whoever has not left for the provider yet gets 503.
"""

import asyncio
import time
from typing import Any

import asyncpg
import pytest

from tests.contract.rest import problem
from tests.oidc.browser import Browser, landed
from tests.oidc.conftest import PUBLIC
from tests.oidc.process import Idp
from tests.oidc.provider import CLIENT_ID, CONSUMERS, TENANT
from tests.oidc.test_sign_in import somebody
from tests.pods import Pod

pytestmark = pytest.mark.usefixtures("calm")

JSON = dict[str, Any]
OTHER_TENANT = "3aa4a235-b6e2-48d5-9195-7fcf05b459b0"
METADATA_OF_CLOUDS = "http://169.254.169.254/latest/meta-data"
READ_MAX_BYTES = 16 * 2**20  # of an endless answer: what was on its way when reading stopped


def claims(**changed: Any) -> JSON:
    return {"id_token": {"claims": changed}}


def later(**seconds: int) -> JSON:
    return {"id_token": {"later": seconds}}


def forged(forge: str) -> JSON:
    return {"id_token": {"forge": forge}}


ID_TOKENS = {
    "iss: another": claims(iss="https://evil.example"),
    "iss: with a slash": claims(iss="{issuer}/"),
    "iss: none": claims(iss="absent"),
    "iss: a list": claims(iss=["{issuer}"]),
    "aud: another": claims(aud="another app"),
    "aud: none": claims(aud="absent"),
    "aud: a number": claims(aud=7),
    "aud: several, and no azp": claims(aud=[CLIENT_ID, "another app"]),
    "azp: another of several": claims(aud=[CLIENT_ID, "another app"], azp="another app"),
    "azp: another": claims(azp="another app"),
    "nonce: another": claims(nonce="x" * 43),
    "nonce: none": claims(nonce="absent"),
    "nonce: empty": claims(nonce=""),
    "exp: passed": later(exp=-60),
    "exp: none": claims(exp="absent"),
    "exp: a text": claims(exp="2999-01-01"),
    "iat: to come": later(iat=120),
    "iat: long ago": later(iat=-3600),
    "iat: none": claims(iat="absent"),
    "nbf: to come": later(nbf=120),
    "sub: none": claims(sub="absent"),
    "sub: empty": claims(sub=""),
    "sub: 256 characters": claims(sub="x" * 256),
    "sub: a number": claims(sub=7),
    "sub: null": claims(sub=None),
    "sub: a line break": claims(sub="x\n"),
    "sub: NUL": claims(sub="x\0"),
    "at_hash: another": claims(at_hash="x" * 22),
    "at_hash: empty": claims(at_hash=""),
    "at_hash: null": claims(at_hash=None),
    "at_hash: a list": claims(at_hash=[]),
    "at_hash: not ASCII": claims(at_hash="ä" * 22),
    "alg: none": forged("none"),
    "alg: HS256 with the public key": forged("public key as a secret"),
    "alg: HS256 with the client's secret": forged("client secret"),
    "alg: one that is not announced": {
        "id_token": {"alg": "ES256"},
        "discovery": {"says": {"id_token_signing_alg_values_supported": ["RS256"]}},
    },
    "alg: none that we know": {
        "discovery": {"says": {"id_token_signing_alg_values_supported": ["none", "HS256"]}},
    },
    "key: another of that name": forged("another key"),
    "key: in the token itself": forged("a key of its own"),
    "key: unknown": {"id_token": {"header": {"kid": "unknown"}}},
    "key: of another issuer": {"keys": {"issuer": "https://other.example"}},
    "key: for encryption": {"keys": {"use": "enc"}},
    "crit: unknown": forged("unknown crit"),
    "no ID token": {"token": {"says": {"id_token": "absent"}}},
    "an ID token of another kind": {"token": {"says": {"id_token": {}}}},
    "an ID token of words": {"token": {"says": {"id_token": "a.b.c"}}},
    "a long ID token": {"token": {"says": {"id_token": "x" * 70_000}}},
    "no access token": {"token": {"says": {"access_token": "absent"}}},
}


def filled(trick: Any, issuer: str) -> Any:
    """The trick with `{issuer}` in its texts replaced."""
    if isinstance(trick, dict):
        return {key: filled(value, issuer) for key, value in trick.items()}
    if isinstance(trick, list):
        return [filled(value, issuer) for value in trick]
    return trick.replace("{issuer}", issuer) if isinstance(trick, str) else trick


@pytest.mark.parametrize("trick", ID_TOKENS.values(), ids=ID_TOKENS.keys())
async def test_an_id_token_that_is_wrong_signs_nobody_in(browser: Browser, idp: Idp, trick: JSON):
    """OpenID Connect Core §3.1.3.7: every claim, the signature, the key."""
    who = somebody()
    with idp.misbehaving("corp", **filled(trick, idp.issuer("corp"))):
        landing = await browser.arrives("corp", who)
    assert landing.told == {"error": "failed"}
    assert browser.cookie is None
    assert (await browser.signs_in("corp", who))["user"]["email"] == who["email"]


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_what_signs_with_a_key_pair_is_believed(browser: Browser, idp: Idp, alg: str):
    """And `at_hash` has each algorithm's own hash."""
    with idp.misbehaving("corp", id_token={"alg": alg}):
        await browser.signs_in("corp", somebody())


async def test_a_token_for_several_names_us_as_the_one_it_was_issued_to(browser: Browser, idp: Idp):
    trick = {"claims": {"aud": ["another app", CLIENT_ID], "azp": CLIENT_ID}}
    with idp.misbehaving("corp", id_token=trick):
        await browser.signs_in("corp", somebody())


async def test_keys_that_are_rotated_are_believed_at_once(browser: Browser, idp: Idp):
    url = await browser.begins("corp")
    back = await browser.consents(url, somebody())
    idp.tells("corp", rotate=True)
    assert landed(await browser.get(back)).told.keys() == {"code"}


ANSWERS = {
    "redirects": ({"redirect": METADATA_OF_CLOUDS}, "failed"),
    "redirects to itself": ({"redirect": "{issuer}/jwks?again"}, "failed"),
    "endless": ({"body": "huge"}, "failed"),
    "malformed": ({"body": "malformed"}, "failed"),
    "deep": ({"body": "deep"}, "failed"),
    "compressed": ({"body": "compressed"}, "failed"),
    "slow": ({"body": "slow"}, "unavailable"),
    "an error": ({"body": "error"}, "unavailable"),
}


@pytest.mark.parametrize("part", ["discovery", "token", "jwks"])
@pytest.mark.parametrize(("answer", "told"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_that_none_should_give(
    browser: Browser, idp: Idp, part: str, answer: JSON, told: str
):
    """S-37: no redirect is followed, time and size are bounded."""
    back = await browser.consents(await browser.begins("corp"), somebody())
    with idp.misbehaving("corp", **{part: filled(answer, idp.issuer("corp"))}):
        started = time.monotonic()
        landing = landed(await browser.get(back))
        assert time.monotonic() - started < 10  # of a time-out of 1 s
        seen = idp.asked("corp")
        if part == "discovery":
            problem(await browser.get(f"{PUBLIC}/auth/oauth/corp"), "unavailable")
    assert landing.told == {"error": told}
    assert seen["asked"][part] == 1
    assert seen["sent_bytes"] < READ_MAX_BYTES
    await browser.signs_in("corp", somebody())


DOCUMENTS = {
    "another issuer": {"issuer": "https://evil.example"},
    "an issuer with a slash": {"issuer": "{issuer}/"},
    "no issuer": {"issuer": None},
    "a page in the clear": {"authorization_endpoint": "http://evil.example/authorize"},
    "a page that is a script": {"authorization_endpoint": "javascript:alert(1)"},
    "a page without a scheme": {"authorization_endpoint": "//evil.example/"},
    "tokens from a cloud's metadata": {"token_endpoint": METADATA_OF_CLOUDS},
    "tokens from a file": {"token_endpoint": "file:///etc/passwd"},
    "tokens from somebody else's host": {"token_endpoint": "http://evil@127.0.0.1/"},
    "keys from this network": {"jwks_uri": "http://10.0.0.1/jwks"},
    "keys from nowhere": {"jwks_uri": ""},
    "keys of another kind": {"jwks_uri": 7},
}


@pytest.mark.parametrize("says", DOCUMENTS.values(), ids=DOCUMENTS.keys())
async def test_a_document_that_is_wrong_leads_nobody_away(browser: Browser, idp: Idp, says: JSON):
    """OpenID Connect Discovery §4.3; and no URL that the document names is taken on trust."""
    says = filled(says, idp.issuer("corp"))
    with idp.misbehaving("corp", discovery={"says": says}):
        problem(await browser.get(f"{PUBLIC}/auth/oauth/corp"), "unavailable")
        assert browser.cookie is None
    await browser.signs_in("corp", somebody())


async def test_a_document_may_not_lead_to_other_networks_later(browser: Browser, idp: Idp):
    """Changed while somebody is at the provider."""
    for says in (DOCUMENTS["tokens from a cloud's metadata"], DOCUMENTS["keys from this network"]):
        back = await browser.consents(await browser.begins("corp"), somebody())
        with idp.misbehaving("corp", discovery={"says": says}):
            assert landed(await browser.get(back)).told == {"error": "failed"}


async def test_an_address_that_is_not_this_machines_is_not_called_by_https(
    browser: Browser, idp: Idp
):
    """Of a provider on this machine; for others see tests/auth/sso/test_outbound."""
    with idp.misbehaving("corp", discovery={"says": {"token_endpoint": "https://10.0.0.1/"}}):
        landing = await browser.arrives("corp", somebody())
    assert landing.told == {"error": "failed"}


TIDS = {
    "none": claims(tid="absent"),
    "of another tenant": claims(tid=OTHER_TENANT),
    "the template": claims(tid="{tenantid}"),
    "a path": claims(tid=f"{TENANT}/../x"),
    "a list": claims(tid=[TENANT]),
    "issuer: the template": claims(iss="{url}/entra/{tenantid}/v2.0"),
    "issuer: common": claims(iss="{url}/entra/common/v2.0", tid="common"),
    "issuer: of another host": claims(iss=f"https://evil.example/{TENANT}/v2.0"),
    "key: of another tenant": {"keys": {"issuer": f"{{url}}/entra/{OTHER_TENANT}/v2.0"}},
}


@pytest.mark.parametrize("trick", TIDS.values(), ids=TIDS.keys())
async def test_microsofts_issuer_is_that_of_the_tokens_own_tenant(
    browser: Browser, idp: Idp, trick: JSON
):
    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        return value.replace("{url}", idp.url) if isinstance(value, str) else value

    with idp.misbehaving("entra/common/v2.0", **fill(trick)):
        landing = await browser.arrives("microsoft", somebody())
    assert landing.told == {"error": "failed"}
    await browser.signs_in("microsoft", somebody())


async def test_keys_that_name_their_issuer_sign_for_it(browser: Browser, idp: Idp):
    """As Microsoft's do: for all tenants, or for one."""
    for issuer in (f"{idp.url}/entra/{{tenantid}}/v2.0", f"{idp.url}/entra/{TENANT}/v2.0"):
        with idp.misbehaving("entra/common/v2.0", keys={"issuer": issuer}):
            await browser.signs_in("microsoft", somebody())


async def test_personal_accounts_sign_in_where_they_may(browser: Browser):
    session = await browser.signs_in("microsoft", somebody(tid=CONSUMERS))
    assert session["user"]["id"]


async def test_many_at_once_ask_a_provider_that_hangs(browser: Browser, idp: Idp, sso_pod: Pod):
    """Each has its answer in time, also who waited for others; then all is well."""
    with idp.misbehaving("corp", discovery={"body": "slow"}):
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            asking = [
                group.create_task(browser.get(f"{PUBLIC}/auth/oauth/corp")) for _ in range(40)
            ]
        assert time.monotonic() - started < 10  # one after the other would be 40 s
    for task in asking:
        problem(task.result(), "unavailable")
    await browser.signs_in("corp", somebody())


async def test_nothing_of_it_made_a_user(sso_pod: Pod):
    """After all of the above: every user without a password has an identity."""
    connection = await asyncpg.connect(sso_pod.database_url)
    try:
        alone = await connection.fetchval(
            "SELECT count(*) FROM users u WHERE password_hash IS NULL"
            " AND NOT EXISTS (SELECT FROM identities i WHERE i.user_id = u.id)"
        )
    finally:
        await connection.close()
    assert alone == 0
