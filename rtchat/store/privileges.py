"""What the server's database role may do, table by table, and giving it just that.

Two roles are meant: one owns the schema and migrates, the other serves and may read and write rows
and nothing else (no DDL, no TRUNCATE, nothing outside of these tables). Owns: the table of
privileges, granting them, and the look at them when a pod starts. Must never: give anything to a
role that could take more by itself, for then the table would only seem to hold.
"""

import logging
from typing import NamedTuple

from rtchat.errors import StartError
from rtchat.store import once
from rtchat.store.database import AnyConnection

log = logging.getLogger(__name__)

# What the statements of `store` do. COPY is INSERT; locking a row is UPDATE; numbers of identity
# columns and foreign keys need nothing.
PRIVILEGES: dict[str, tuple[str, ...]] = {
    "alembic_version": ("SELECT",),
    "channels": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "identities": ("SELECT", "INSERT", "DELETE"),
    "log_epochs": ("SELECT",),  # a new epoch is its operator's deed
    "members": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "messages": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "reactions": ("SELECT", "INSERT", "DELETE"),
    "refresh_tokens": ("SELECT", "INSERT", "UPDATE"),  # they go with their session
    "sessions": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "users": ("SELECT", "INSERT", "UPDATE"),
}

_LACKING = """
SELECT t, array_agg(p ORDER BY p) AS missing FROM unnest($1::text[], $2::text[]) AS asked(t, p)
WHERE NOT has_table_privilege(to_regclass(t), p) GROUP BY t ORDER BY t
"""
_STANDING = """
SELECT r.rolsuper AS superuser,
       coalesce(bool_or(pg_has_role(r.oid, c.relowner, 'MEMBER')), false) AS owner,
       has_schema_privilege(r.oid, current_schema()::regnamespace, 'CREATE') AS creates,
       r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls OR EXISTS (
           SELECT FROM pg_roles p WHERE starts_with(p.rolname, 'pg_') AND p.oid <> r.oid
           AND p.rolname <> 'pg_database_owner' AND pg_has_role(r.oid, p.oid, 'MEMBER')
       ) AS powers
FROM pg_roles r LEFT JOIN pg_class c
     ON c.relnamespace = current_schema()::regnamespace AND c.relname = ANY($2::text[])
WHERE r.rolname = $1
GROUP BY r.oid, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls
"""


class Standing(NamedTuple):
    """What lets a role do more than the table says."""

    superuser: bool
    owner: bool
    creates: bool
    powers: bool

    @property
    def excess(self) -> list[str]:
        """In words, for a log or an error."""
        if self.superuser:  # who is the others as well
            return ["is a superuser"]
        told = {
            "owns the tables": self.owner,
            "may create in the schema": self.creates,
            "has powers over the server (CREATEROLE, CREATEDB, REPLICATION, pg_…)": self.powers,
        }
        return [words for words, holds in told.items() if holds]


async def lacking(connection: AnyConnection) -> list[tuple[str, list[str]]]:
    """What the role of this connection lacks of the table, by the tables that are there."""
    asked = [(table, p) for table, granted in PRIVILEGES.items() for p in granted]
    rows = await connection.fetch(_LACKING, [t for t, _ in asked], [p for _, p in asked])
    return [(row["t"], row["missing"]) for row in rows]


def spoken(lacked: list[tuple[str, list[str]]]) -> str:
    """What is lacking, in words."""
    return "; ".join(f"{table}: {', '.join(missing)}" for table, missing in lacked)


async def require(connection: AnyConnection) -> None:
    """Raise StartError where the server's own role lacks something; warn where it has too much."""
    lacked = await lacking(connection)
    role = await connection.fetchval("SELECT current_user")
    if lacked:
        raise StartError(
            f"the database role {role} lacks privileges ({spoken(lacked)}): "
            f"run `rtchat migrate --grant {role}` as the role that owns the schema"
        )
    standing = await standing_of(connection, role)
    if standing is not None and standing.excess:
        log.warning(
            "the server's database role may do more than it needs: see `rtchat migrate --grant`",
            extra={"role": role, "excess": standing.excess},
        )


async def grant(connection: AnyConnection, role: str) -> None:
    """Give `role` what the table says, and take away whatever else it has on these tables.

    In one transaction: a pod that serves as this role notices nothing. Raises StartError.
    """
    standing = await standing_of(connection, role)
    if standing is None:
        raise StartError(f"there is no role {role}: CREATE ROLE it first, with LOGIN")
    if standing.excess:
        raise StartError(
            f"the role {role} {' and '.join(standing.excess)}, so it cannot be held to less: "
            "serve as another one, which is no superuser, has no such powers, is no member of the "
            "role that owns the schema, and may not create there "
            "(REVOKE CREATE ON SCHEMA public FROM PUBLIC)"
        )
    name = await connection.fetchval("SELECT quote_ident($1)", role)
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    async with connection.transaction():
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
        for table, granted in PRIVILEGES.items():
            await connection.execute(f"REVOKE ALL ON {schema}.{table} FROM {name}")
            await connection.execute(f"GRANT {', '.join(granted)} ON {schema}.{table} TO {name}")


async def standing_of(connection: AnyConnection, role: str) -> Standing | None:
    """What else a role may do, apart from the table; None: there is no such role."""
    row = await connection.fetchrow(_STANDING, role, list(PRIVILEGES))
    return None if row is None else Standing(**row)


def grant_at(url: str, role: str) -> None:
    """Grant in the database at `url`, for the command line. Raises StartError."""
    once.run(url, "granting the privileges", lambda connection: grant(connection, role))
