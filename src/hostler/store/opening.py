"""Opening and closing a store: the lock, the migrations, the writer, the readers."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from hostler.core.changes import Changes
from hostler.core.ports import Blobs
from hostler.store.admission import StoredShares, StoredSignIns
from hostler.store.attempts import StoredAttempts
from hostler.store.audit import StoredAudit
from hostler.store.beside import fill
from hostler.store.blob_rows import BlobRows
from hostler.store.blobs import StoredBlobs
from hostler.store.bundles import StoredBundles
from hostler.store.class_hosts import StoredClassHosts
from hostler.store.database import PATIENCE, Database, database_of
from hostler.store.environment_logs import StoredEnvironmentLogs
from hostler.store.environments import StoredEnvironments
from hostler.store.executions import StoredExecutions
from hostler.store.figures import StoredFigures
from hostler.store.folding import Fold, Memory
from hostler.store.followers import Followers
from hostler.store.host_tokens import StoredHostTokens
from hostler.store.installation import Installation
from hostler.store.log import Log
from hostler.store.maintenance import StoredMaintenance
from hostler.store.migrations import PROJECTED, check_kinds, migrate
from hostler.store.policies import StoredPolicies
from hostler.store.principals import StoredPeople
from hostler.store.project_use import StoredProjectUse
from hostler.store.projects import StoredProjects
from hostler.store.prompts import StoredPrompts
from hostler.store.reading import Readers
from hostler.store.runners import Runners
from hostler.store.spending import StoredSpending
from hostler.store.tokens import StoredTokens
from hostler.store.watch import Watches
from hostler.store.webhooks import StoredWebhooks
from hostler.store.writer import Writer

S = TypeVar("S")

REMEMBERED = 1024
"""States of executions that the writer keeps folded."""


@dataclass(frozen=True, slots=True)
class Store:
    """Every port of the store, on one database."""

    executions: StoredExecutions[Any]
    runners: Runners
    environments: StoredEnvironments
    environment_logs: StoredEnvironmentLogs
    prompts: StoredPrompts
    tokens: StoredTokens
    people: StoredPeople
    attempts: StoredAttempts
    blobs: Blobs
    bundles: StoredBundles
    projects: StoredProjects
    project_use: StoredProjectUse
    host_tokens: StoredHostTokens
    sign_ins: StoredSignIns
    shares: StoredShares
    spending: StoredSpending
    class_hosts: StoredClassHosts
    policies: StoredPolicies
    installation: Installation
    shared: bool
    """Whether other processes may have it open too."""
    changes: Changes | None
    """Every change of a row; None where other processes write as well."""
    audit: StoredAudit
    figures: StoredFigures
    writer: Writer
    readers: Readers
    maintenance: StoredMaintenance
    webhooks: StoredWebhooks


@asynccontextmanager
async def open_store(
    url: str, *, blobs: Path, fold: Fold[S], patience: timedelta = PATIENCE, remembered: int = REMEMBERED
) -> AsyncGenerator[Store]:
    """Open a database, bring its schema up to date, and close it after the last commit.

    SQLite is for this process alone: FailedPrecondition when another one has it. NewerRelease when a newer release
    wrote it, Unavailable when it cannot be reached. `patience` is how long a statement waits for somebody's lock.
    """
    database = database_of(url, patience)
    memory: Memory[S] = Memory(remembered)
    watches, followers = Watches(), Followers()
    writer = Writer(database, forget=memory.forget, announce=watches.announce, followers=followers)

    def prepare(connection: Connection) -> None:
        database.hold_schema(connection)
        before = migrate(connection, database.text_type)
        check_kinds(connection)
        if before < PROJECTED:
            fill(connection, fold)

    readers, stack = Readers(database), AsyncExitStack()
    try:
        await writer.open(prepare)
        executions = StoredExecutions(writer, readers, watches, Log(fold, memory, database), fold)

        def elsewhere(changed: frozenset[str] | None) -> None:
            executions.elsewhere(changed)
            watches.announce(changed)

        await stack.enter_async_context(database.listening(elsewhere))
        yield _ports(database, executions, writer, readers, blobs, followers)
    finally:
        await stack.aclose()
        await writer.close()
        await readers.close()
        database.close()


def _ports(
    database: Database,
    executions: StoredExecutions[Any],
    writer: Writer,
    readers: Readers,
    blobs: Path,
    followers: Followers,
) -> Store:
    """Return every port over one writer and its readers."""
    stored: Blobs = BlobRows(writer, readers) if database.shared else StoredBlobs(blobs, writer, readers)
    return Store(
        executions=executions,
        runners=Runners(writer, readers, database.row_lock),
        environments=StoredEnvironments(writer, readers, database.row_lock),
        environment_logs=StoredEnvironmentLogs(writer, readers),
        prompts=StoredPrompts(writer, readers),
        tokens=StoredTokens(writer, readers),
        people=StoredPeople(writer, readers),
        attempts=StoredAttempts(writer),
        blobs=stored,
        bundles=StoredBundles(writer, readers),
        projects=StoredProjects(writer, readers),
        project_use=StoredProjectUse(writer, readers),
        host_tokens=StoredHostTokens(writer, readers),
        sign_ins=StoredSignIns(writer, readers),
        shares=StoredShares(writer, readers),
        spending=StoredSpending(readers),
        class_hosts=StoredClassHosts(writer, readers),
        policies=StoredPolicies(writer, readers),
        installation=Installation(writer, readers),
        shared=database.shared,
        changes=None if database.shared else followers,
        audit=StoredAudit(writer, readers),
        figures=StoredFigures(readers),
        writer=writer,
        readers=readers,
        maintenance=StoredMaintenance(writer, readers),
        webhooks=StoredWebhooks(writer, readers),
    )
