"""The schema's one home: SQLAlchemy Core tables, from which Alembic checks the migrations.

Owns: tables, keys, indexes and check constraints. The server itself does not import this file; its
statements are written by hand in the files beside it, and SQLAlchemy serves migrations only.

Two choices that a reader may wonder about:
- `messages` is the log: every entry of every channel, not messages alone. Its key begins with
  `channel_id`, and so does every statement on it, so that the table can be hash-partitioned or
  distributed by that column.
- `messages` has no foreign keys. The writer holds the channel's row locked and reads membership
  under that lock, so both sides are known to exist; a trigger for each row of a COPY would check it
  a second time, and foreign keys would stand in the way of distributing the table.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    default = None if nullable else func.now()
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


users = Table(
    "users",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("email", Text),  # null: a provider vouched for none
    Column("password_hash", Text),  # null: signs in by SSO only
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=""),
    _moment("last_active", nullable=True),
    _moment("created_at"),
    _moment("disabled_at", nullable=True),  # by an operator; then nobody signs in as this user
    # As compared: without case. As shown: as the user wrote it.
    Index("uq_users_email_lower", func.lower(text("email")), unique=True),
    # Search is by the beginning of a name, without case.
    Index(
        "ix_users_name_lower",
        func.lower(text("name")).label("name_lower"),
        postgresql_ops={"name_lower": "text_pattern_ops"},
    ),
)

channels = Table(
    "channels",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("name", Text),
    Column("type", Text, nullable=False),
    Column("created_by", BigInteger, ForeignKey("users.id"), nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    Column("last_seq", BigInteger, nullable=False, server_default="0"),
    # The members of a dm, sorted and joined by commas: one dm for each set of people.
    Column("dm_key", Text),
    _moment("deleted_at", nullable=True),
    CheckConstraint("type IN ('public', 'private', 'dm')", name="type"),
    CheckConstraint("(type = 'dm') = (name IS NULL)", name="name"),
    CheckConstraint("(type = 'dm') = (dm_key IS NOT NULL)", name="dm_key"),
    UniqueConstraint("dm_key"),
    Index(
        "ix_channels_public", "id", postgresql_where=text("type = 'public' AND deleted_at IS NULL")
    ),
    Index("ix_channels_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)

members = Table(
    "members",
    metadata,
    Column("channel_id", BigInteger, ForeignKey("channels.id"), nullable=False),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("role", Text, nullable=False),
    _moment("joined_at"),
    Column("read_seq", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("channel_id", "user_id"),
    CheckConstraint("role IN ('owner', 'admin', 'member')", name="role"),
    Index("ix_members_user_id_channel_id", "user_id", "channel_id"),
    # One owner a channel; a dm has none.
    Index("uq_members_owner", "channel_id", unique=True, postgresql_where=text("role = 'owner'")),
)

messages = Table(
    "messages",
    metadata,
    Column("channel_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),  # model.Kind
    Column("user_id", BigInteger, nullable=False),  # who did it
    Column("target", BigInteger),  # the seq or the user that it is about
    Column("content", Text),
    Column("timestamp", DateTime(timezone=True), nullable=False),
    Column("nonce", Text, nullable=False),
    _moment("edited_at", nullable=True),
    _moment("deleted_at", nullable=True),
    PrimaryKeyConstraint("channel_id", "seq"),
    # Idempotency, and the index by user.
    UniqueConstraint("user_id", "channel_id", "nonce"),
    # The edits of a message, to blank them with it. (kind 2: an edit)
    Index("ix_messages_edits", "channel_id", "target", postgresql_where=text("kind = 2")),
)

reactions = Table(
    "reactions",
    metadata,
    # What stands; who did it when is in the log. Without foreign keys, as `messages`.
    Column("channel_id", BigInteger, nullable=False),
    Column("target", BigInteger, nullable=False),  # the message's seq
    # Compared byte by byte: of emoji, collations know little and change their mind.
    Column("emoji", Text(collation="C"), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),  # of the entry since which it stands
    PrimaryKeyConstraint("channel_id", "target", "emoji", "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    _moment("created_at"),
    _moment("refreshed_at"),
    _moment("expires_at", nullable=True),
    _moment("ended_at", nullable=True),
    Column("agent", Text, nullable=False, server_default=""),  # the User-Agent that signed in
    Index("ix_sessions_user_id", "user_id", postgresql_where=text("ended_at IS NULL")),
    Index("ix_sessions_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    Index("ix_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    # SHA-256 of a 256-bit random token: nothing here can be used to sign in.
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", BigInteger, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _moment("created_at"),
    _moment("used_at", nullable=True),  # set once; a second use ends the session
    Index("ix_refresh_tokens_session_id", "session_id"),
)

identities = Table(
    "identities",
    metadata,
    # Who somebody is at a provider (OpenID Connect Core §5.7); an address never is the key.
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("provider", Text, nullable=False),  # its name in the settings
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    _moment("linked_at"),
    PrimaryKeyConstraint("issuer", "subject"),
    # One at each provider; and the index by user.
    UniqueConstraint("user_id", "provider"),
)

log_epochs = Table(
    "log_epochs",
    metadata,
    # The newest row names the history of the whole log; an operator adds one after a restore.
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("epoch", Text, nullable=False, server_default=text("gen_random_uuid()::text")),
    _moment("started_at"),
)
