"""The schema's history: numbered steps, forwards only, never edited once released.

A step is a list of SQL statements that both databases read; `{text}` stands for text that compares byte by byte,
`{bytes}` for bytes. All missing steps run in one transaction when the store is opened, under a lock that makes other
processes wait. Processes of the release before may be running meanwhile, so a step only adds.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, inspect, select, text

from hostler.core.errors import NewerRelease
from hostler.core.events import KINDS, Event
from hostler.store.schema import event_kind

STEPS: Sequence[Sequence[str]] = (
    (
        """CREATE TABLE execution (
            id {text} PRIMARY KEY, runner {text} NOT NULL, owner {text} NOT NULL, fence BIGINT NOT NULL,
            attempts INTEGER NOT NULL, last_seq BIGINT NOT NULL, phase {text} NOT NULL, turn INTEGER NOT NULL,
            busy BOOLEAN NOT NULL, due_at BIGINT, agent_id {text} NOT NULL, project_id {text} NOT NULL,
            creator_id {text} NOT NULL, session_id {text} NOT NULL, role {text} NOT NULL, created_at BIGINT NOT NULL,
            updated_at BIGINT NOT NULL, deleted_at BIGINT, forked_from {text}, forked_seq BIGINT,
            view TEXT NOT NULL)""",
        "CREATE INDEX execution_busy ON execution (runner, id) WHERE busy",
        "CREATE INDEX execution_phase ON execution (phase, id)",
        "CREATE INDEX execution_session ON execution (session_id, id)",
        "CREATE INDEX execution_project ON execution (project_id, id)",
        """CREATE TABLE event (
            execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE, seq BIGINT NOT NULL,
            turn INTEGER NOT NULL, kind {text} NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
            at BIGINT NOT NULL, effect {text}, PRIMARY KEY (execution_id, seq))""",
        "CREATE UNIQUE INDEX event_fact ON event (execution_id, effect, kind) WHERE effect IS NOT NULL",
        "CREATE TABLE event_kind (kind {text} NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, version))",
        """CREATE TABLE annotation (
            execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE, key {text} NOT NULL,
            value {text} NOT NULL, digest {text} NOT NULL, PRIMARY KEY (execution_id, key))""",
        "CREATE INDEX annotation_digest ON annotation (digest, execution_id)",
        """CREATE TABLE execution_environment (
            environment_id {text} NOT NULL, execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE,
            PRIMARY KEY (environment_id, execution_id))""",
        "CREATE INDEX execution_environment_of ON execution_environment (execution_id)",
        """CREATE TABLE idempotency (
            principal {text} NOT NULL, key_sha256 {text} NOT NULL, body_sha256 {text} NOT NULL,
            execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE, at BIGINT NOT NULL,
            PRIMARY KEY (principal, key_sha256))""",
        "CREATE INDEX idempotency_of ON idempotency (execution_id)",
        "CREATE INDEX idempotency_at ON idempotency (at)",
        "CREATE TABLE runner (id {text} PRIMARY KEY, incarnation {text} NOT NULL, until BIGINT NOT NULL)",
        """CREATE TABLE environment (
            id {text} PRIMARY KEY, runner {text} NOT NULL, phase {text} NOT NULL, version BIGINT NOT NULL,
            class_id {text} NOT NULL, name {text} NOT NULL, creator_id {text} NOT NULL, created_at BIGINT NOT NULL,
            last_used_at BIGINT NOT NULL, spec TEXT NOT NULL, handle TEXT, status TEXT NOT NULL,
            owner_execution {text} NOT NULL)""",
        """CREATE TABLE environment_use (
            environment_id {text} NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
            execution_id {text} NOT NULL, since BIGINT NOT NULL, PRIMARY KEY (environment_id, execution_id))""",
        "CREATE INDEX environment_use_of ON environment_use (execution_id)",
        """CREATE TABLE prompt (
            id {text} PRIMARY KEY, name {text} NOT NULL, description {text} NOT NULL, prompt {text} NOT NULL,
            is_template BOOLEAN NOT NULL, is_command BOOLEAN NOT NULL, command {text} NOT NULL,
            is_skill BOOLEAN NOT NULL, creator_id {text} NOT NULL, creator_kind {text} NOT NULL,
            created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, name_folded {text} NOT NULL,
            description_folded {text} NOT NULL, command_folded {text} NOT NULL)""",
        "CREATE UNIQUE INDEX prompt_command ON prompt (command_folded) WHERE command_folded <> ''",
        """CREATE TABLE principal (
            id {text} PRIMARY KEY, kind {text} NOT NULL, name {text} NOT NULL, admin BOOLEAN NOT NULL)""",
        """CREATE TABLE api_token (
            id {text} PRIMARY KEY, sha256 {text} NOT NULL UNIQUE,
            principal_id {text} NOT NULL REFERENCES principal (id),
            name {text} NOT NULL, scope {text} NOT NULL, created_at BIGINT NOT NULL,
            expires_at BIGINT, last_used_at BIGINT)""",
        """CREATE TABLE blob (
            sha256 {text} NOT NULL, execution_id {text} NOT NULL, size BIGINT NOT NULL,
            PRIMARY KEY (sha256, execution_id))""",
        "CREATE INDEX blob_of ON blob (execution_id)",
    ),
    (
        """CREATE TABLE project (
            id {text} PRIMARY KEY, name {text} NOT NULL, name_folded {text} NOT NULL, repository {text} NOT NULL,
            repository_digest {text} NOT NULL, creator_id {text} NOT NULL, creator_kind {text} NOT NULL,
            created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, class_ids TEXT NOT NULL, setup TEXT NOT NULL,
            body TEXT NOT NULL)""",
        "CREATE INDEX project_repository ON project (repository_digest, id)",
        """CREATE TABLE project_run (
            environment_id {text} NOT NULL, since BIGINT NOT NULL, until BIGINT,
            project_id {text} NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            user_id {text} NOT NULL, user_kind {text} NOT NULL, PRIMARY KEY (environment_id, since))""",
        "CREATE INDEX project_run_of ON project_run (project_id, since)",
        "CREATE INDEX project_run_open ON project_run (environment_id) WHERE until IS NULL",
        """CREATE TABLE host_token (
            id {text} PRIMARY KEY, runner {text} NOT NULL, host {text} NOT NULL, subject_id {text} NOT NULL,
            subject_kind {text} NOT NULL, source {text} NOT NULL, scopes TEXT NOT NULL, integration_id {text} NOT NULL,
            created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, expires_at BIGINT, sealed TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX host_token_of ON host_token (runner, host, subject_id)",
    ),
    (
        """CREATE TABLE environment_log (
            environment_id {text} NOT NULL REFERENCES environment (id) ON DELETE CASCADE, seq BIGINT NOT NULL,
            at BIGINT NOT NULL, step {text} NOT NULL, upto BIGINT NOT NULL, body {text} NOT NULL,
            PRIMARY KEY (environment_id, seq))""",
    ),
    (
        """CREATE TABLE sign_in (
            id {text} PRIMARY KEY, sha256 {text} NOT NULL UNIQUE,
            token_id {text} NOT NULL REFERENCES api_token (id) ON DELETE CASCADE,
            created_at BIGINT NOT NULL, used_at BIGINT NOT NULL)""",
        "CREATE INDEX sign_in_of ON sign_in (token_id)",
        """CREATE TABLE sign_in_link (
            sha256 {text} PRIMARY KEY, token_id {text} NOT NULL REFERENCES api_token (id) ON DELETE CASCADE,
            path {text} NOT NULL, expires_at BIGINT NOT NULL)""",
        "CREATE INDEX sign_in_link_of ON sign_in_link (token_id)",
        """CREATE TABLE share (
            id {text} PRIMARY KEY, sha256 {text} NOT NULL UNIQUE,
            execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE, may {text} NOT NULL,
            name {text} NOT NULL, creator_id {text} NOT NULL, created_at BIGINT NOT NULL,
            expires_at BIGINT NOT NULL)""",
        "CREATE INDEX share_of ON share (execution_id, id)",
    ),
    (
        "ALTER TABLE execution ADD COLUMN standing {text} NOT NULL DEFAULT ''",
        "ALTER TABLE execution ADD COLUMN words {text} NOT NULL DEFAULT ''",
        "CREATE INDEX execution_standing ON execution (standing, id)",
        """CREATE TABLE spent (
            execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE, day {text} NOT NULL,
            model {text} NOT NULL, calls BIGINT NOT NULL, input BIGINT NOT NULL, cached_input BIGINT NOT NULL,
            cache_creation BIGINT NOT NULL, output BIGINT NOT NULL, guessed_calls BIGINT NOT NULL,
            guessed_input BIGINT NOT NULL, guessed_cached_input BIGINT NOT NULL,
            guessed_cache_creation BIGINT NOT NULL, guessed_output BIGINT NOT NULL,
            PRIMARY KEY (execution_id, day, model))""",
        "CREATE INDEX spent_day ON spent (day, execution_id)",
    ),
    (
        """CREATE TABLE class_host (
            class_id {text} NOT NULL, host {text} NOT NULL, by_name {text} NOT NULL, at BIGINT NOT NULL,
            PRIMARY KEY (class_id, host))""",
    ),
    (
        """CREATE TABLE policy (
            version BIGINT PRIMARY KEY, body TEXT NOT NULL, at BIGINT NOT NULL, by_id {text} NOT NULL,
            by_name {text} NOT NULL)""",
        """CREATE TABLE spent_gone (
            person {text} NOT NULL, day {text} NOT NULL, tokens BIGINT NOT NULL, PRIMARY KEY (person, day))""",
    ),
    (
        """CREATE TABLE audit (
            id {text} PRIMARY KEY, at BIGINT NOT NULL, actor_id {text} NOT NULL, actor_kind {text} NOT NULL,
            actor_name {text} NOT NULL, action {text} NOT NULL, outcome {text} NOT NULL, subject_kind {text} NOT NULL,
            subject_id {text} NOT NULL, details TEXT NOT NULL)""",
        "CREATE INDEX audit_actor ON audit (actor_id, id)",
        "CREATE INDEX audit_subject ON audit (subject_id, id)",
        "CREATE INDEX audit_at ON audit (at)",
        """CREATE TABLE maintenance (
            number INTEGER PRIMARY KEY, since BIGINT NOT NULL, message {text} NOT NULL, by_id {text} NOT NULL,
            by_name {text} NOT NULL)""",
        """CREATE TABLE webhook (
            id {text} PRIMARY KEY, name {text} NOT NULL, url {text} NOT NULL, phases {text} NOT NULL,
            creator_id {text} NOT NULL, creator_name {text} NOT NULL, created_at BIGINT NOT NULL,
            failing_since BIGINT, disabled_at BIGINT, problem {text} NOT NULL)""",
        """CREATE TABLE webhook_delivery (
            id {text} PRIMARY KEY, webhook_id {text} NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
            execution_id {text} NOT NULL, seq BIGINT NOT NULL, phase {text} NOT NULL, turn INTEGER NOT NULL,
            at BIGINT NOT NULL, state {text} NOT NULL, tries INTEGER NOT NULL, due_at BIGINT,
            taken_until BIGINT NOT NULL, status INTEGER NOT NULL, problem {text} NOT NULL, ended_at BIGINT)""",
        "CREATE INDEX webhook_delivery_due ON webhook_delivery (due_at) WHERE state = 'due'",
        "CREATE INDEX webhook_delivery_of ON webhook_delivery (webhook_id, execution_id, seq)",
    ),
    (
        "ALTER TABLE principal ADD COLUMN role {text} NOT NULL DEFAULT 'run'",
        "ALTER TABLE principal ADD COLUMN made_at BIGINT",
        "ALTER TABLE principal ADD COLUMN suspended_at BIGINT",
        "ALTER TABLE principal ADD COLUMN left_at BIGINT",
        "ALTER TABLE principal ADD COLUMN until BIGINT",
        "ALTER TABLE principal ADD COLUMN email {text} NOT NULL DEFAULT ''",
        "ALTER TABLE principal ADD COLUMN subject {text} NOT NULL DEFAULT ''",
        "ALTER TABLE principal ADD COLUMN description {text} NOT NULL DEFAULT ''",
        "ALTER TABLE principal ADD COLUMN creator_id {text} NOT NULL DEFAULT ''",
        "ALTER TABLE principal ADD COLUMN creator_kind {text} NOT NULL DEFAULT ''",
        "ALTER TABLE principal ADD COLUMN git_name {text} NOT NULL DEFAULT ''",
        "ALTER TABLE principal ADD COLUMN git_email {text} NOT NULL DEFAULT ''",
        "UPDATE principal SET role = 'admin' WHERE admin",
        "CREATE UNIQUE INDEX principal_subject ON principal (subject) WHERE subject <> ''",
        "ALTER TABLE api_token ADD COLUMN creator_id {text} NOT NULL DEFAULT ''",
        "ALTER TABLE api_token ADD COLUMN purpose {text} NOT NULL DEFAULT ''",
        "CREATE INDEX api_token_of ON api_token (principal_id)",
    ),
    (
        "ALTER TABLE runner ADD COLUMN name {text} NOT NULL DEFAULT ''",
        "ALTER TABLE runner ADD COLUMN url {text} NOT NULL DEFAULT ''",
        "ALTER TABLE runner ADD COLUMN version {text} NOT NULL DEFAULT ''",
        "ALTER TABLE runner ADD COLUMN details TEXT NOT NULL DEFAULT '{}'",
        "CREATE TABLE installation (name {text} PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE blob_data (sha256 {text} PRIMARY KEY, body {bytes} NOT NULL)",
        """CREATE TABLE kept_bundle (
            execution_id {text} PRIMARY KEY REFERENCES execution (id) ON DELETE CASCADE, sha256 {text} NOT NULL,
            size BIGINT NOT NULL, parts INTEGER NOT NULL)""",
        """CREATE TABLE kept_part (
            execution_id {text} NOT NULL REFERENCES execution (id) ON DELETE CASCADE, sha256 {text} NOT NULL,
            number INTEGER NOT NULL, body {bytes} NOT NULL, PRIMARY KEY (execution_id, sha256, number))""",
    ),
    (
        """CREATE TABLE sign_in_attempt (
            sha256 {text} PRIMARY KEY, browser {text} NOT NULL, nonce {text} NOT NULL, verifier {text} NOT NULL,
            path {text} NOT NULL, expires_at BIGINT NOT NULL)""",
    ),
)
PROJECTED = 5
"""The last step that added columns or tables which are derived from the log."""


def migrate(connection: Connection, text_type: str, steps: Sequence[Sequence[str]] = STEPS) -> int:
    """Bring the schema up to date inside the caller's transaction; return the number of the step it was at.

    NewerRelease when it is ahead of this release.
    """
    bytes_type = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    if not inspect(connection).has_table("schema_step"):
        connection.execute(text("CREATE TABLE schema_step (number INTEGER PRIMARY KEY)"))
    done = connection.execute(text("SELECT coalesce(max(number), 0) FROM schema_step")).scalar_one()
    if done > len(steps):
        raise NewerRelease(
            f"the database has schema {done} and this release of Hostler knows {len(steps)}: it was written by a "
            "newer release; upgrade Hostler, or restore a backup from before the upgrade"
        )
    for number, step in enumerate(steps[done:], start=done + 1):
        for statement in step:
            connection.execute(text(statement.replace("{text}", text_type).replace("{bytes}", bytes_type)))
        connection.execute(text("INSERT INTO schema_step (number) VALUES (:number)"), {"number": number})
    return done


def check_kinds(connection: Connection, known: Mapping[str, type[Event]] = KINDS) -> None:
    """Raise NewerRelease when the log holds an event of a kind or version that this release does not know."""
    rows = connection.execute(select(event_kind.c.kind, event_kind.c.version).order_by(event_kind.c.kind))
    unknown = [f"{kind} version {v}" for kind, v in rows if kind not in known or v > known[kind].VERSION]
    if unknown:
        raise NewerRelease(
            f"the log holds events that this release of Hostler does not know ({', '.join(unknown)}): they were "
            "written by a newer release; upgrade Hostler"
        )
