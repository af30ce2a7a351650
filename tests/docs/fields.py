"""The fields of a JSON schema in a few words: what they are, and what they mean.

Owns: the words for fields whose name says it all to the code, and not yet to a reader.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from rtchat.model import ID_MAX
from tests.docs.sections import code, codes

# `Kind.field` where it depends on the struct.
WORDS = {
    "ch": "The channel's id.",
    "of": "The message's seq.",
    "user": "Who is signed in.",
    "content": "The text.",
    "emoji": "The reaction.",
    "code": "What went wrong, for programs.",
    "channel": "The channel, as its new member sees it.",
    "reason": "Why.",
    "limits": "What this server takes.",
    "head": "The last seq of its log.",
    "error": "Why it cannot be followed.",
    "Bye.code": "The close code.",
    "Renamed.name": "The new name.",
    "User.id": "The user's id.",
    "User.name": "As others see it.",
    "User.status": "Free text.",
    "Channel.id": "The channel's id.",
    "Channel.name": "Null for a dm.",
    "Channel.type": "Who may see and join it.",
    "Channel.createdBy": "A user's id.",
    "Session.tokenType": "How to show the access token: `Authorization: Bearer TOKEN`.",
    "Session.expiresIn": "Seconds, from the moment of this answer on.",
    "LiveSession.id": "As `hello` has it.",
    "Member.user": "Who it is.",
    "Member.role": "What they may do.",
    "Message.channelId": "The channel's id.",
    "Problem.status": "That of the answer.",
    "Reaction.count": "How many reacted with it.",
    "LinkedIdentity.provider": "A provider's name.",
    "AddMember.userId": "Who it is.",
    "AddMember.role": "What they may do.",
    "SetRole.role": "`owner` hands the channel over.",
    "Login.password": "The password.",
    "ChangePassword.currentPassword": "Left out by whoever has none yet.",
    "NewDm.name": "A dm has none.",
}


class Fields:
    """The fields of one document's schemas. `linked` are those that a page describes once."""

    def __init__(self, schemas: Mapping[str, Any], linked: Collection[str] = ()) -> None:
        self.schemas = schemas
        self._linked = linked
        self._plain: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "integer": _integer,
            "string": _text,
            "array": self._array,
            "object": self._object,
            "boolean": lambda _: "true or false",
            "null": lambda _: "null",
        }

    def type_of(self, field: Mapping[str, Any]) -> str:
        """A schema in a few words."""
        if "anyOf" in field:
            return " or ".join(dict.fromkeys(self.type_of(part) for part in field["anyOf"]))
        if "enum" in field:
            return "one of " + codes(sorted(field["enum"]))
        if "allOf" in field:
            return self.type_of(field["allOf"][0])
        if "$ref" in field:
            return self._named(field["$ref"].rpartition("/")[2])
        return self._plain[field["type"]](field)

    def _named(self, name: str) -> str:
        if name in self._linked:
            return f"[{name}](#{name.lower()})"
        return "a code" if name == "Code" else self.type_of(self.schemas[name])

    def _array(self, field: Mapping[str, Any]) -> str:
        least, most = field.get("minItems", 0), field.get("maxItems")
        limit = "" if most is None else f", {least} to {most}" if least else f", up to {most}"
        return f"list of {self.type_of(field['items'])}{limit}"

    def _object(self, field: Mapping[str, Any]) -> str:
        inside = field.get("additionalProperties")
        most = field.get("maxProperties")
        limit = f", up to {most}" if most else ""
        return (
            f"object{limit}: id to {self.type_of(inside)}" if isinstance(inside, dict) else "object"
        )


def words_of(kind: str, name: str, field: Mapping[str, Any]) -> str:
    """What a field means; empty where nothing is known."""
    parts = [field, *field.get("anyOf", ())]
    found = next((part["description"] for part in parts if "description" in part), "")
    return " ".join((WORDS.get(f"{kind}.{name}") or found or WORDS.get(name, "")).split())


def optional(schema: Mapping[str, Any], name: str) -> str:
    """Whether a field may be missing."""
    return "" if name in schema.get("required", ()) else "optional"


def default(field: Mapping[str, Any]) -> str:
    """What stands for a field that is missing, where that needs words."""
    value = field.get("default")
    plain = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    return f"Default {code(value)}." if plain else ""


def _integer(field: Mapping[str, Any]) -> str:
    least, most = field.get("minimum"), field.get("maximum")
    if least == -ID_MAX:
        return "integer"
    if most not in (None, ID_MAX):
        return f"integer, {least} to {most}"
    return "integer" if least is None else f"integer from {least}"


def _text(field: Mapping[str, Any]) -> str:
    least, most = field.get("minLength"), field.get("maxLength")
    if most is None:
        return "text"
    return f"text, {least} to {most} characters" if least else f"text, up to {most} characters"
