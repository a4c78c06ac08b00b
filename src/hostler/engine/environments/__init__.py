"""The life of environments: made, prepared, started again, stopped and removed; what runs is read from the world.

`service.py` is the front, `making.py` brings one up from wherever it is, `setup.py` runs its lifecycle commands,
`rows.py` writes rows by compare-and-set, `shape.py` says what a row asks a provider for, `journal.py` writes its log.
"""

from hostler.engine.environments.service import Environments

__all__ = ["Environments"]
