"""The store's conformance suite: test classes for any store that keeps the promises of `hostler.core.ports`.

An adapter subclasses each class of `SUITE` under a name that begins with Test, and gives a fixture `opener` (see
`scene.Opener`), and, where several processes may have the database open, those of `SHARING`.
"""

from hostler.testing.store_suite.admission import ShareBook, SignInBook
from hostler.testing.store_suite.appending import Appending, Closing, Owning, Removing, Starting, Watching
from hostler.testing.store_suite.environments import EnvironmentLogBook, EnvironmentSignals
from hostler.testing.store_suite.folding import Folding
from hostler.testing.store_suite.hosts import ClassHostBook
from hostler.testing.store_suite.library import BlobBook, BundleBook, EnvironmentBook, PromptLibrary, TokenBook
from hostler.testing.store_suite.lists import Listing
from hostler.testing.store_suite.people import PeopleBook
from hostler.testing.store_suite.projects import HostTokenBook, ProjectBook, ProjectRuns
from hostler.testing.store_suite.scene import FOLD, Opener, StoreSuite
from hostler.testing.store_suite.sharing import SHARING
from hostler.testing.store_suite.spending import SpendingSums

SUITE: tuple[type[StoreSuite], ...] = (
    Starting,
    Appending,
    Owning,
    Removing,
    Closing,
    Watching,
    Folding,
    Listing,
    PromptLibrary,
    TokenBook,
    EnvironmentBook,
    EnvironmentLogBook,
    EnvironmentSignals,
    BlobBook,
    BundleBook,
    ProjectBook,
    ProjectRuns,
    HostTokenBook,
    SignInBook,
    ShareBook,
    PeopleBook,
    SpendingSums,
    ClassHostBook,
)

__all__ = ["FOLD", "SHARING", "SUITE", "Opener", "StoreSuite"]
