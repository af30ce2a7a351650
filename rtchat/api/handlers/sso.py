"""Single sign-on: the browser's way to a provider and back, and one's own identities."""

from rtchat.api import types
from rtchat.api.asgi import header
from rtchat.api.call import Call
from rtchat.api.router import Answer
from rtchat.auth.sso.flow import Beginning, Callback


async def providers(call: Call) -> Answer:
    """List the single sign-on providers that are set up."""
    base = call.services.config.public_url
    items = [
        types.Provider(name=name, title=provider.title, url=f"{base}/auth/oauth/{name}")
        for name, provider in call.services.sso.providers.items()
    ]
    return 200, types.Providers(items=items)


async def begin(call: Call) -> Answer:
    """Send the browser to a provider; it comes back to the callback."""
    beginning = await _begin(call)
    call.headers.append((b"location", beginning.url.encode()))
    return 302, None


async def link(call: Call) -> Answer:
    """Begin to link an identity: tells where to send the browser.

    It takes a sign-in of the last minutes, else `forbidden`.
    """
    call.user_id  # noqa: B018  raises where nobody asks
    beginning = await _begin(call, link=True)
    return 200, types.Linking(url=beginning.url)


async def _begin(call: Call, *, link: bool = False) -> Beginning:
    query: types.BeginQuery = call.query
    sso = call.services.sso
    asker = call.identity if link else None
    beginning = await sso.begin(call.words["provider"], query.next, _browser(call), asker)
    call.headers.append((b"set-cookie", sso.pages.set_cookie(beginning.browser)))
    return beginning


async def finish(call: Call) -> Answer:
    """Take the browser back from a provider, and send it to the page.

    The page gets `code` to trade, `linked`, or `error`. What is no sign-in that began in this
    browser is `bad_message`.
    """
    query: types.CallbackQuery = call.query
    sent = Callback(query.state, query.code, query.error, query.iss)
    page, ended = await call.services.sso.finish(
        call.words["provider"], sent, _browser(call), call.client
    )
    if ended:
        call.headers.append((b"set-cookie", call.services.sso.pages.drop_cookie()))
    call.headers.append((b"location", page.encode()))
    return 302, None


async def exchange(call: Call) -> Answer:
    """Trade the code that the page got for a session.

    Once, soon, from the same browser. `conflict`: the address or identity is another
    user's; the text tells the way out.
    """
    body: types.Exchange = call.body
    session = await call.services.sso.exchange(body.code, _browser(call), call.client)
    call.headers.append((b"set-cookie", call.services.sso.pages.drop_cookie()))
    return 200, session


async def identities(call: Call) -> Answer:
    """List the identities that one may sign in with."""
    linked = await call.services.sso.people.identities(call.user_id)
    items = [types.LinkedIdentity(provider=one.provider, linked_at=one.since) for one in linked]
    return 200, types.Identities(items=items)


async def unlink(call: Call) -> Answer:
    """Remove one of one's identities; the last way to sign in stays (`conflict`)."""
    people = call.services.sso.people
    await people.unlink(call.user_id, call.words["provider"], call.client)
    return 204, None


def _browser(call: Call) -> str | None:
    return call.services.sso.pages.browser_of(header(call.scope, b"cookie"))
