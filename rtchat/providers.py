"""The single sign-on providers that are set up: Google, Microsoft, any that speaks OpenID Connect.

Owns: how settings become providers, and what is wrong with them, said at the start. A provider is
data; that Microsoft's issuer has a tenant in it is all that sets one apart. Must never: show a
secret. Pure; nothing is asked of anybody here.

Sources: OpenID Connect Discovery 1.0 §4; Google, "OpenID Connect"; Microsoft identity platform,
"OpenID Connect" and "Access token claims" (the tenants' names and ids).
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from rtchat.addresses import of_this_machine
from rtchat.config import Config, ConfigError

GOOGLE_ISSUER = "https://accounts.google.com"
# Microsoft's issuer where people of several tenants may sign in: each token names its own.
TENANT = "{tenantid}"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the one tenant of all personal accounts
TENANT_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PROVIDERS_MAX = 16
RESERVED = frozenset({"exchange"})  # another path has this name
DEFAULT_SCOPES = "openid profile email"

_Text = Annotated[str, Meta(min_length=1, max_length=512)]


class Provider(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """One provider, as in the setting `oidc_providers`."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]  # in paths, and of its redirect URI
    title: Annotated[str, Meta(min_length=1, max_length=64)]  # what people read on its button
    issuer: _Text  # to the letter as in its tokens; may have `{tenantid}` in it
    client_id: _Text
    client_secret: Annotated[str, Meta(max_length=512)] = ""  # empty: a public client
    scopes: Annotated[str, Meta(max_length=512)] = DEFAULT_SCOPES
    discovery_url: Annotated[str, Meta(max_length=512)] = ""  # empty: below the issuer
    private_network: bool = False  # its addresses may be of this network; never this machine's
    tenants_refused: tuple[str, ...] = ()  # of those that the issuer's template would let in

    @property
    def document_url(self) -> str:
        """Where its discovery document is."""
        return self.discovery_url or self.issuer.rstrip("/") + "/.well-known/openid-configuration"

    @property
    def local(self) -> bool:
        """Whether it runs on this machine; only then may it be spoken to in the clear."""
        return of_this_machine(urlsplit(self.issuer).hostname or "")

    def issued_by(self, issuer: str, tenant: str | None = None) -> bool:
        """Whether `issuer` is this provider's, of `tenant` where one is named."""
        if TENANT not in self.issuer:
            return issuer == self.issuer
        before, after = map(re.escape, self.issuer.split(TENANT))
        found = re.fullmatch(f"{before}(?P<tenant>{TENANT_ID}){after}", issuer)
        if found is None or found["tenant"] in self.tenants_refused:
            return False
        return tenant is None or found["tenant"] == tenant


def is_web_url(url: str, *, local: bool) -> bool:
    """Whether this is `https://host…` without a user or fragment; with `local`, also loopback."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or "#" in url or not _VISIBLE.fullmatch(url):
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and local and of_this_machine(parts.hostname)
    )


_VISIBLE = re.compile(r"[!-\[\]-~]+")  # of ASCII, without the backslash, a slash to browsers


def providers_of(config: Config) -> dict[str, Provider]:
    """The providers by name, in the order in which they are shown. Raises ConfigError."""
    found = [*_google(config), *_microsoft(config), *_others(config)]
    if not found:
        return {}
    if not is_web_url(config.public_url, local=True) or config.public_url.endswith("/"):
        raise ConfigError(
            "single sign-on needs RTCHAT_PUBLIC_URL, the server's address as browsers see it:"
            " https://chat.example (http only for localhost), without a slash at its end"
        )
    page, sites = config.sso_return_url, {config.public_url, *config.origin_list}
    if page and not (
        is_web_url(page, local=True) and any(page.startswith(f"{site}/") for site in sites)
    ):
        raise ConfigError(
            "RTCHAT_SSO_RETURN_URL is a page below RTCHAT_PUBLIC_URL, as https://chat.example/app,"
            " or of one of RTCHAT_ORIGINS"
        )
    providers = {provider.name: provider for provider in found}
    if len(providers) < len(found):
        raise ConfigError("two single sign-on providers have the same name")
    if len(found) > PROVIDERS_MAX:
        raise ConfigError(f"more than {PROVIDERS_MAX} single sign-on providers")
    return providers


def _google(config: Config) -> list[Provider]:
    if not _both("GOOGLE", config.google_client_id, config.google_client_secret):
        return []
    return [
        Provider(
            name="google",
            title="Google",
            issuer=GOOGLE_ISSUER,
            client_id=config.google_client_id,
            client_secret=config.google_client_secret,
        )
    ]


def _microsoft(config: Config) -> list[Provider]:
    if not _both("MICROSOFT", config.microsoft_client_id, config.microsoft_client_secret):
        return []
    authority, tenant = config.microsoft_authority.rstrip("/"), config.microsoft_tenant
    if not is_web_url(authority, local=True):
        raise ConfigError("RTCHAT_MICROSOFT_AUTHORITY is not as in https://login.example")
    issuing = {"common": TENANT, "organizations": TENANT, "consumers": CONSUMERS}
    return [
        Provider(
            name="microsoft",
            title="Microsoft",
            issuer=f"{authority}/{issuing.get(tenant, tenant)}/v2.0",
            discovery_url=f"{authority}/{tenant}/v2.0/.well-known/openid-configuration",
            client_id=config.microsoft_client_id,
            client_secret=config.microsoft_client_secret,
            tenants_refused=(CONSUMERS,) if tenant == "organizations" else (),
        )
    ]


def _both(which: str, client_id: str, secret: str) -> bool:
    if bool(client_id) != bool(secret):
        raise ConfigError(
            f"RTCHAT_{which}_CLIENT_ID and RTCHAT_{which}_CLIENT_SECRET: one is set, the other not"
        )
    return bool(client_id)


def _others(config: Config) -> list[Provider]:
    if not config.oidc_providers:
        return []
    variable = "RTCHAT_OIDC_PROVIDERS"
    try:
        found = msgspec.json.decode(config.oidc_providers, type=list[Provider])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"{variable} is no JSON list of providers: {error}") from None
    for provider in found:
        for url in filter(None, (provider.issuer, provider.discovery_url)):
            if not is_web_url(url.replace(TENANT, "t"), local=True):
                raise ConfigError(f"{variable}: {url!r} of {provider.name!r} is not https://host…")
        if provider.issuer.count(TENANT) > (1 if provider.discovery_url else 0):
            raise ConfigError(f"{variable}: {provider.name!r} needs a discoveryUrl, and one tenant")
        if provider.name in RESERVED:
            raise ConfigError(f"{variable}: a provider cannot be called {provider.name!r}")
        if "openid" not in provider.scopes.split():
            raise ConfigError(f"{variable}: the scopes of {provider.name!r} lack openid")
    return found
