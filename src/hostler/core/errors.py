"""The one error tree; each docstring is a usable default message, and the API maps classes to codes in one table.

HostlerError
├── RequestError               the caller's side of the border; mapped to an RPC code by name
│   ├── InvalidArgument
│   ├── Unauthenticated
│   ├── PermissionDenied
│   ├── NotFound
│   ├── AlreadyExists
│   ├── FailedPrecondition
│   ├── ResourceExhausted
│   │   └── TooMany            too often; says when to come back
│   ├── Unimplemented
│   └── Unavailable            may say when to come back
├── LogError                   the store's side
│   ├── Conflict               a decision was made from a state that is no longer the last one
│   ├── StaleFence             somebody else owns the execution now
│   └── NewerRelease           the log or the schema was written by a newer release
├── EnvironmentError_          the machine's side
│   ├── EnvironmentFailed      it could not be made or brought back
│   │   └── NotAuthenticated   its repository asks for a credential
│   ├── MachineLost            another incarnation answers, or none
│   │   └── Restarted          another one answers, and has begun nothing
│   └── Fenced                 the supervisor knows a higher fence
└── ModelError                 the provider's side
    ├── ModelUnavailable       worth another try; may say when
    └── ModelRefused           not worth another try
"""


class HostlerError(Exception):
    """Something went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """Return the text that may be shown to the caller."""
        return str(self.args[0])


class RequestError(HostlerError):
    """The request cannot be answered."""

    def __init__(self, message: str = "", *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field and message else message)
        self.field = field


class InvalidArgument(RequestError):
    """A value of the request is not acceptable."""

    def __init__(self, message: str = "", *, field: str = "", detail: object = None) -> None:
        super().__init__(message, field=field)
        self.detail = detail


class Unauthenticated(RequestError):
    """A valid API token is needed: send it as `Authorization: Bearer TOKEN`."""


class PermissionDenied(RequestError):
    """This credential may not do that."""


class NotFound(RequestError):
    """There is no such thing."""


class AlreadyExists(RequestError):
    """It is there already, and different."""


class FailedPrecondition(RequestError):
    """That cannot be done in the present state."""


class ResourceExhausted(RequestError):
    """A limit is reached."""


class TooMany(ResourceExhausted):
    """Too many requests; come back later."""

    def __init__(self, message: str = "", *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unimplemented(RequestError):
    """Hostler does not serve this yet."""


class Unavailable(RequestError):
    """The server cannot take this now; try again."""

    def __init__(self, message: str = "", *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LogError(HostlerError):
    """The log refused an append."""


class Conflict(LogError):
    """The log has grown since the decision was made."""


class StaleFence(LogError):
    """Another owner holds a newer fence on this execution."""


class NewerRelease(LogError):
    """This data was written by a newer release of Hostler; upgrade before you open it."""


class EnvironmentError_(HostlerError):
    """The environment cannot do that."""


class EnvironmentFailed(EnvironmentError_):
    """The environment could not be made or brought back."""


class NotAuthenticated(EnvironmentFailed):
    """A repository asks for a credential that is not there, or refused the one that is."""

    def __init__(self, message: str = "", url: str = "") -> None:
        super().__init__(message)
        self.url = url


class MachineLost(EnvironmentError_):
    """The environment's supervisor is gone, or another one has taken its place."""


class Restarted(MachineLost):
    """A request names an earlier life of the environment; it has begun nothing."""


class Fenced(EnvironmentError_):
    """The environment's supervisor has seen a newer owner of this execution."""


class ModelError(HostlerError):
    """The model provider did not answer as needed."""


class ModelUnavailable(ModelError):
    """The model provider cannot answer now."""

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelRefused(ModelError):
    """The model provider refuses this request."""

    def __init__(self, message: str = "", *, context_overflow: bool = False) -> None:
        super().__init__(message)
        self.context_overflow = context_overflow
        """The conversation is longer than the model's context: a shorter one may be accepted."""
