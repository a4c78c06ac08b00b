"""The tables as queries name them; `migrations.py` is what makes them, and a test holds the two together.

The log is `event`; every other table about an execution is derived from it in the same commit. Long or free text is
never indexed itself but by its sha256, because Postgres bounds the size of an index entry.
"""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, Table, Text

from hostler.store.columns import Json, Moment

metadata = MetaData()

execution = Table(
    "execution",
    metadata,
    Column("id", Text, primary_key=True),
    Column("runner", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("phase", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("busy", Boolean, nullable=False),
    Column("due_at", Moment),
    Column("agent_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Column("forked_from", Text),
    Column("forked_seq", BigInteger),
    Column("view", Json, nullable=False),
    Column("standing", Text, nullable=False),
    Column("words", Text, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("turn", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Json, nullable=False),
    Column("at", Moment, nullable=False),
    Column("effect", Text),
)

event_kind = Table(
    "event_kind",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
)
"""Every kind and version that was ever written, so that a look at start-up does not read the whole log."""

annotation = Table(
    "annotation",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

execution_environment = Table(
    "execution_environment",
    metadata,
    Column("environment_id", Text, primary_key=True),
    Column("execution_id", Text, primary_key=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key_sha256", Text, primary_key=True),
    Column("body_sha256", Text, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

runner = Table(
    "runner",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("until", Moment, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("url", Text, nullable=False, server_default=""),
    Column("version", Text, nullable=False, server_default=""),
    Column("details", Text, nullable=False, server_default="{}"),
)

installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What all processes of one database share, such as the key of short tokens."""

environment = Table(
    "environment",
    metadata,
    Column("id", Text, primary_key=True),
    Column("runner", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("class_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment, nullable=False),
    Column("spec", Json, nullable=False),
    Column("handle", Json),
    Column("status", Json, nullable=False),
    Column("owner_execution", Text, nullable=False),
)

environment_use = Table(
    "environment_use",
    metadata,
    Column("environment_id", Text, primary_key=True),
    Column("execution_id", Text, primary_key=True),
    Column("since", Moment, nullable=False),
)

environment_log = Table(
    "environment_log",
    metadata,
    Column("environment_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("step", Text, nullable=False),
    Column("upto", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""What happened in an environment; `upto` is where a piece of output ends in all that its step has said."""

prompt = Table(
    "prompt",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("is_template", Boolean, nullable=False),
    Column("is_command", Boolean, nullable=False),
    Column("command", Text, nullable=False),
    Column("is_skill", Boolean, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("creator_kind", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("name_folded", Text, nullable=False),
    Column("description_folded", Text, nullable=False),
    Column("command_folded", Text, nullable=False),
)

principal = Table(
    "principal",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("role", Text, nullable=False),
    Column("made_at", Moment),
    Column("suspended_at", Moment),
    Column("left_at", Moment),
    Column("until", Moment),
    Column("email", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("creator_kind", Text, nullable=False),
    Column("git_name", Text, nullable=False),
    Column("git_email", Text, nullable=False),
)
"""People and service accounts; `admin` says again what `role` says, in the words of the first releases."""

api_token = Table(
    "api_token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("principal_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("creator_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
)

blob = Table(
    "blob",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("execution_id", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
)
"""Which execution names which blob; the bytes are files, or in `blob_data`."""

blob_data = Table(
    "blob_data",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""The bytes of blobs where several machines share the database."""

kept_bundle = Table(
    "kept_bundle",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
)
"""Kept work for other machines to make a workspace from; its bytes are the parts with the same sha256."""

kept_part = Table(
    "kept_part",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

project = Table(
    "project",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_folded", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("repository_digest", Text, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("creator_kind", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("class_ids", Json, nullable=False),
    Column("setup", Json, nullable=False),
    Column("body", Json, nullable=False),
)

project_run = Table(
    "project_run",
    metadata,
    Column("environment_id", Text, primary_key=True),
    Column("since", Moment, primary_key=True),
    Column("until", Moment),
    Column("project_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("user_kind", Text, nullable=False),
)
"""When an environment of a project ran; `until` is empty while it does."""

host_token = Table(
    "host_token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("runner", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("integration_id", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("sealed", Text, nullable=False),
)
"""Credentials for code hosts; `sealed` can be opened only with the key in the data folder."""

sign_in = Table(
    "sign_in",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("token_id", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment, nullable=False),
)
"""Browsers that showed an API token; they go with it."""

sign_in_link = Table(
    "sign_in_link",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("token_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
)
"""Addresses that open a path once, signed in; one that was opened is gone."""

share = Table(
    "share",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("execution_id", Text, nullable=False),
    Column("may", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)
"""Conversations that are open to whoever has the address; they go with their execution."""

spent = Table(
    "spent",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("cached_input", BigInteger, nullable=False),
    Column("cache_creation", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("guessed_calls", BigInteger, nullable=False),
    Column("guessed_input", BigInteger, nullable=False),
    Column("guessed_cached_input", BigInteger, nullable=False),
    Column("guessed_cache_creation", BigInteger, nullable=False),
    Column("guessed_output", BigInteger, nullable=False),
)
"""What the model calls of an execution cost, by day; derived from its log in the same commit."""

class_host = Table(
    "class_host",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("by_name", Text, nullable=False),
    Column("at", Moment, nullable=False),
)
"""Hosts that somebody allowed for every environment of a class, beyond the settings."""

spent_gone = Table(
    "spent_gone",
    metadata,
    Column("person", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
)
"""What executions that are gone had taken, so that nobody gets his tokens of the day back by deleting them."""

policy = Table(
    "policy",
    metadata,
    Column("version", BigInteger, primary_key=True),
    Column("body", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by_id", Text, nullable=False),
    Column("by_name", Text, nullable=False),
)
"""The organization's policy, every version of it; the highest one holds."""

audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("details", Json, nullable=False),
)
"""Who did what, whether it was done or refused."""

maintenance = Table(
    "maintenance",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("since", Moment, nullable=False),
    Column("message", Text, nullable=False),
    Column("by_id", Text, nullable=False),
    Column("by_name", Text, nullable=False),
)
"""One row while maintenance mode is on."""

webhook = Table(
    "webhook",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("phases", Text, nullable=False),
    Column("creator_id", Text, nullable=False),
    Column("creator_name", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("failing_since", Moment),
    Column("disabled_at", Moment),
    Column("problem", Text, nullable=False),
)
"""Who is told of changes of phase; `phases` is empty for all of them, else a list with commas around each."""

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Text, primary_key=True),
    Column("webhook_id", Text, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("phase", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", Moment),
    Column("taken_until", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("ended_at", Moment),
)
"""What webhooks are to be told, written with the event that it is about."""

sign_in_attempt = Table(
    "sign_in_attempt",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("browser", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("verifier", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
)
"""People who were sent to an OpenID Connect provider; who comes back is forgotten here."""
