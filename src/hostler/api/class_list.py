"""The environment classes as a list with pages and a filter; two services show it."""

from collections.abc import Sequence

from hostler.api.environment_view import class_of
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.runner_view import kind_of, provider_of
from hostler.contract.gitpod.v1.environment_class_pb import (
    ListEnvironmentClassesRequest,
    ListEnvironmentClassesResponse,
)
from hostler.core.desk import EnvironmentClass


class _Ordered:
    """A class with an id that sorts as the list is ordered, for the page tokens."""

    def __init__(self, number: int, named: EnvironmentClass) -> None:
        self.id = f"{number:06d}"
        self.named = named


async def classes_listed(parts: ApiParts, request: ListEnvironmentClassesRequest) -> ListEnvironmentClassesResponse:
    """Return a page of the classes that environments can be made from, the default first."""
    asked = request.filter or ListEnvironmentClassesRequest.Filter()
    here = not asked.runner_ids or parts.runner_id in [one.lower() for one in asked.runner_ids]
    here = here and (not asked.runner_kinds or kind_of(parts) in asked.runner_kinds)
    here = here and (not asked.runner_providers or provider_of(parts) in asked.runner_providers)
    able = all(getattr(asked, name) for name in ("enabled", "can_create_environments") if asked.has_field(name))
    numbered = [_Ordered(n, one) for n, one in enumerate(parts.classes if here and able else ())]

    async def find(after: str, limit: int) -> Sequence[_Ordered]:
        return [one for one in numbered if one.id > after][:limit]

    shown, pagination = await page_of("classes", request.pagination, request.filter, find)
    classes = [class_of(one.named, parts.runner_id) for one in shown]
    return ListEnvironmentClassesResponse(pagination=pagination, environment_classes=classes)
