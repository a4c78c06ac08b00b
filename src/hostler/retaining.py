"""Which brooms a server sweeps with, as its settings say."""

from pathlib import Path

from hostler.config import Settings
from hostler.core.ambient import Ambient
from hostler.engine.desk import Desk
from hostler.engine.keeping import Keeping
from hostler.engine.retention import (
    KeptBroom,
    OldExecutions,
    Retention,
    orphaned_blobs,
    orphaned_text,
    unused_setups,
)
from hostler.store.opening import Store
from hostler.store.retention import QuietExecutions, RowBroom, rules


def retaining(
    settings: Settings, folder: Path, stores: Store, desk: Desk, keeping: Keeping, ambient: Ambient
) -> Retention:
    """Return the retention of a server; others may give it brooms of their own with `add`."""
    days, quiet = settings.retention, QuietExecutions(stores.readers)
    retention = Retention(stores.audit, ambient)
    if days.executions_days:
        retention.add(OldExecutions(quiet, desk.command, days.executions_days))
    found = rules(
        expired_days=days.expired_days,
        log_days=days.environment_log_days,
        usage_days=days.usage_days,
        shared=stores.shared,
    )
    retention.add(*(RowBroom(rule, stores.writer, stores.readers) for rule in found))
    if not stores.shared:
        retention.add(orphaned_blobs(folder / "blobs", quiet))
    retention.add(orphaned_text(folder / "said", quiet), unused_setups(folder / "setups", days.setup_cache_days))
    retention.add(KeptBroom(folder / "kept", lambda: keeping.days, keeping.expire))
    return retention
