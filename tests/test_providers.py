"""Providers: settings become who may vouch for people, and a mistake in them is named."""

import json
from typing import Any

import pytest

from rtchat.config import Config, ConfigError
from rtchat.providers import CONSUMERS, Provider, is_web_url, providers_of
from tests.test_settings import config, refusal

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
OTHER_TENANT = "3aa4a235-b6e2-48d5-9195-7fcf05b459b0"
ENTRA = "https://login.microsoftonline.com"
SECRET = "hush, hush"

GOOGLE = {
    "public_url": "https://chat.example",
    "google_client_id": "an id",
    "google_client_secret": SECRET,
}
MICROSOFT = {
    "public_url": "https://chat.example",
    "microsoft_client_id": "an id",
    "microsoft_client_secret": SECRET,
}


def other(**changes: Any) -> dict[str, Any]:
    given = {
        "name": "corp",
        "title": "Corp",
        "issuer": "https://id.example/realm",
        "clientId": "an id",
        "clientSecret": SECRET,
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def with_others(*others: Any) -> dict[str, str]:
    return {"public_url": "https://chat.example", "oidc_providers": json.dumps(list(others))}


def microsoft(tenant: str) -> Provider:
    return providers_of(config(**MICROSOFT, microsoft_tenant=tenant))["microsoft"]


def test_none_is_set_up_by_default():
    assert providers_of(Config()) == {}


def test_google_needs_an_id_and_a_secret():
    provider = providers_of(config(**GOOGLE))["google"]
    assert provider.issuer == "https://accounts.google.com"
    assert provider.document_url == ("https://accounts.google.com/.well-known/openid-configuration")
    assert provider.scopes.split() == ["openid", "profile", "email"]
    assert not provider.local


def test_any_further_provider_is_configuration_alone():
    providers = providers_of(config(**with_others(other(scopes="openid")) | GOOGLE))
    assert list(providers) == ["google", "corp"]
    corp = providers["corp"]
    assert corp.document_url == "https://id.example/realm/.well-known/openid-configuration"
    assert corp.scopes == "openid"
    assert corp.issued_by("https://id.example/realm")
    for foreign in ("https://id.example/realm/", "https://ID.example/realm", "https://id.example"):
        assert not corp.issued_by(foreign)


def test_sign_in_leads_back_to_a_page_of_ours_or_of_a_listed_origin():
    for page in ("https://chat.example/app?x=1", "https://app.chat.example/"):
        given = {"origins": "https://app.chat.example", "sso_return_url": page}
        assert providers_of(config(**GOOGLE, **given))


@pytest.mark.parametrize("tenant", ["common", "organizations"])
def test_microsofts_issuer_names_the_tenant_of_the_token(tenant: str):
    provider = microsoft(tenant)
    assert provider.document_url == f"{ENTRA}/{tenant}/v2.0/.well-known/openid-configuration"
    assert provider.issued_by(f"{ENTRA}/{TENANT}/v2.0")
    assert provider.issued_by(f"{ENTRA}/{TENANT}/v2.0", TENANT)
    assert provider.issued_by(f"{ENTRA}/{CONSUMERS}/v2.0") == (tenant == "common")
    for foreign in (
        f"{ENTRA}/{{tenantid}}/v2.0",
        f"{ENTRA}/common/v2.0",
        f"{ENTRA}/{TENANT}/v2.0/",
        f"{ENTRA}/{TENANT}/{TENANT}/v2.0",
        f"{ENTRA}/{TENANT}/v2.0\n",
        f"https://login.evil.example/{TENANT}/v2.0",
        f"{ENTRA}.evil.example/{TENANT}/v2.0",
    ):
        assert not provider.issued_by(foreign)
    assert not provider.issued_by(f"{ENTRA}/{TENANT}/v2.0", OTHER_TENANT)


@pytest.mark.parametrize(("tenant", "only"), [(TENANT, TENANT), ("consumers", CONSUMERS)])
def test_a_single_tenants_issuer_is_exact(tenant: str, only: str):
    provider = microsoft(tenant)
    assert provider.issued_by(f"{ENTRA}/{only}/v2.0")
    assert not provider.issued_by(f"{ENTRA}/{OTHER_TENANT}/v2.0")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"google_client_id": "x"}, "GOOGLE_CLIENT_SECRET", id="half of Google"),
        pytest.param({"microsoft_client_secret": "x"}, "MICROSOFT_CLIENT_ID", id="half of Entra"),
        pytest.param({**GOOGLE, "public_url": ""}, "PUBLIC_URL", id="no address"),
        pytest.param({**GOOGLE, "public_url": "http://chat.example"}, "PUBLIC_URL", id="http"),
        pytest.param({**GOOGLE, "public_url": "https://chat.example/"}, "PUBLIC_URL", id="slash"),
        pytest.param({**GOOGLE, "public_url": "https://a@chat.example"}, "PUBLIC_URL", id="user"),
        pytest.param({**GOOGLE, "public_url": "https://chat.example:x"}, "PUBLIC_URL", id="port"),
        pytest.param(
            {**GOOGLE, "sso_return_url": "https://evil.example/"}, "SSO_RETURN_URL", id="page"
        ),
        pytest.param(
            {**GOOGLE, "sso_return_url": "https://chat.example.evil.example/"},
            "SSO_RETURN_URL",
            id="page of a host with the same beginning",
        ),
        pytest.param({**MICROSOFT, "microsoft_tenant": "contoso.com"}, "MICROSOFT_TENANT", id="t"),
        pytest.param(
            {**MICROSOFT, "microsoft_authority": "http://login.example"}, "AUTHORITY", id="in clear"
        ),
        pytest.param({"oidc_providers": "{"}, "OIDC_PROVIDERS", id="no JSON"),
        pytest.param({"oidc_providers": "{}"}, "OIDC_PROVIDERS", id="no list"),
        pytest.param(with_others(other(issuer=None)), "issuer", id="no issuer"),
        pytest.param(with_others(other(clientId=7)), "clientId", id="a number"),
        pytest.param(with_others(other(issuers="x")), "issuers", id="an unknown field"),
        pytest.param(with_others(other(name="Corp")), "name", id="upper case"),
        pytest.param(with_others(other(name="corp\n")), "name", id="line break"),
        pytest.param(with_others(other(name="exchange")), "exchange", id="a path's name"),
        pytest.param(with_others(other(), other()), "the same name", id="twice"),
        pytest.param(with_others(other(issuer="http://id.example")), "corp", id="http issuer"),
        pytest.param(with_others(other(scopes="email")), "openid", id="no openid"),
        pytest.param(with_others(other(issuer="https://a/{tenantid}")), "discoveryUrl", id="url"),
        pytest.param(
            with_others(*(other(name=f"p{n}") for n in range(17))), "more than 16", id="too many"
        ),
    ],
)
def test_a_mistake_is_named_at_the_start_without_the_secret(settings: dict[str, str], words: str):
    said = refusal(**settings)
    assert words in said
    assert SECRET not in said


def test_the_way_that_the_server_reads_them_finds_mistakes_too():
    with pytest.raises(ConfigError, match="PUBLIC_URL"):
        providers_of(Config(google_client_id="x", google_client_secret="y"))


@pytest.mark.parametrize(
    "url",
    ["//evil", "https:evil", "https://", "ftp://a", "https://a\\b", "https://a b", "https://a#b"],
)
def test_what_browsers_might_read_otherwise_is_no_web_url(url: str):
    assert not is_web_url(url, local=True)


def test_in_the_clear_only_to_this_machine_and_only_where_allowed():
    assert is_web_url("http://localhost:8000/x", local=True)
    assert not is_web_url("http://localhost:8000/x", local=False)
    assert not is_web_url("http://10.0.0.1/x", local=True)
