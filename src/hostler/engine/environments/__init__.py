"""The life of environments: made, prepared, started again, stopped and removed; what runs is read from the world.

`service.py` is the front, `lives.py` begins and ends lives, `making.py` brings an environment up from wherever it is,
`setup.py` runs its lifecycle commands, `upkeep.py` keeps rows and world together, `work.py` does one thing at a time,
`rows.py` writes rows by compare-and-set, `shape.py` says what a row asks a provider for, `journal.py` writes its log.
"""

from hostler.engine.environments.service import Environments

__all__ = ["Environments"]
