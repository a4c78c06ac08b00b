"""The store: the log, the rows beside it and the blobs, on SQLite or Postgres from one code path.

`open_store` gives every port of the store. What the two databases do differently is in `sqlite.py` and `postgres.py`.
"""

from hostler.store.folding import Fold
from hostler.store.opening import Store, open_store
from hostler.store.runners import Runner

__all__ = ["Fold", "Runner", "Store", "open_store"]
