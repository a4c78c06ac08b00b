"""The prompt library: templates, slash commands and skills of the organization."""

from collections.abc import Sequence
from dataclasses import replace

from protobuf.wkt import Timestamp

from hostler.api.call import current
from hostler.api.hidden_text import clean
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import identity_pb
from hostler.contract.gitpod.v1 import prompt_pb as pb
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.prompts import Prompt, PromptQuery


class Library:
    """Keeps prompts."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def create(self, request: pb.CreatePromptRequest) -> pb.Prompt:
        """Add a prompt; AlreadyExists when its command is taken."""
        now, creator = self._parts.ambient.now(), current().principal
        prompt = Prompt(
            id=self._parts.ambient.new_id(),
            name=request.name,
            description=request.description,
            prompt=request.prompt,
            is_template=request.is_template,
            is_command=request.is_command,
            command=request.command,
            is_skill=request.is_skill,
            creator_id=creator.id,
            creator_kind=creator.kind,
            created_at=now,
            updated_at=now,
        )
        return self._shown(await self._save(prompt, new=True))

    async def get(self, prompt: str) -> pb.Prompt:
        """Return a prompt; NotFound when there is none."""
        return self._shown(await self._known(prompt))

    async def list(self, request: pb.ListPromptsRequest) -> pb.ListPromptsResponse:
        """Return a page of prompts, newest first."""
        asked = request.filter or pb.ListPromptsRequest.Filter()
        query = PromptQuery(
            is_template=asked.is_template,
            is_command=asked.is_command,
            is_skill=asked.is_skill,
            command=asked.command,
            command_prefix=asked.command_prefix,
            search=asked.search,
        )

        async def find(before: str, limit: int) -> Sequence[Prompt]:
            return await self._parts.prompts.find(query, before, limit)

        found, pagination = await page_of("prompts", request.pagination, request.filter, find)
        shown = [self._shown(replace(one, prompt="") if asked.exclude_prompt_content else one) for one in found]
        return pb.ListPromptsResponse(pagination=pagination, prompts=shown)

    async def update(self, request: pb.UpdatePromptRequest) -> pb.Prompt:
        """Change the fields that are present, all or none."""
        known = await self._known(request.prompt_id)
        changed = replace(known, updated_at=self._parts.ambient.now(), **_metadata(request), **_spec(request))
        if known.command and not changed.command:
            raise InvalidArgument("a command can be changed but not cleared", field="spec.command")
        return self._shown(await self._save(changed, new=False))

    async def delete(self, prompt: str) -> None:
        """Remove a prompt; NotFound when there is none."""
        if not await self._parts.prompts.delete(prompt.lower()):
            raise NotFound("there is no such prompt", field="prompt_id")

    async def _known(self, prompt: str) -> Prompt:
        known = await self._parts.prompts.get(prompt.lower())
        if known is None:
            raise NotFound("there is no such prompt", field="prompt_id")
        return known

    async def _save(self, prompt: Prompt, *, new: bool) -> Prompt:
        for field in ("name", "description", "prompt"):
            _refuse_hidden(field, getattr(prompt, field))
        if prompt.is_command and not prompt.command:
            raise InvalidArgument("a prompt that is a command needs one", field="command")
        text = self._parts.redactor.text
        masked = replace(
            prompt, name=text(prompt.name), description=text(prompt.description), prompt=text(prompt.prompt)
        )
        await self._parts.prompts.save(masked, new=new)
        return masked

    def _shown(self, prompt: Prompt) -> pb.Prompt:
        kinds = {"user": identity_pb.Principal.USER, "service_account": identity_pb.Principal.SERVICE_ACCOUNT}
        creator = identity_pb.Subject(id=prompt.creator_id, principal=kinds[prompt.creator_kind])
        metadata = pb.PromptMetadata(
            organization_id=self._parts.organization_id,
            name=prompt.name,
            description=prompt.description,
            creator=creator,
            created_at=Timestamp.from_datetime(prompt.created_at),
            updated_at=Timestamp.from_datetime(prompt.updated_at),
        )
        spec = pb.PromptSpec(
            prompt=prompt.prompt,
            is_template=prompt.is_template,
            is_command=prompt.is_command,
            command=prompt.command,
            is_skill=prompt.is_skill,
        )
        return pb.Prompt(id=prompt.id, metadata=metadata, spec=spec)


def _metadata(request: pb.UpdatePromptRequest) -> dict[str, str]:
    """Return the new name and description, those that are present."""
    given = request.metadata
    if given is None:
        return {}
    if given.has_field("name") and not given.name:
        raise InvalidArgument("a name is needed", field="metadata.name")
    return {name: getattr(given, name) for name in ("name", "description") if given.has_field(name)}


def _spec(request: pb.UpdatePromptRequest) -> dict[str, str | bool]:
    """Return the new text and use, what is present of them."""
    given = request.spec
    if given is None:
        return {}
    if given.has_field("prompt") and not given.prompt:
        raise InvalidArgument("a text is needed", field="spec.prompt")
    names = ("prompt", "is_template", "is_command", "command", "is_skill")
    return {name: getattr(given, name) for name in names if given.has_field(name)}


def _refuse_hidden(field: str, text: str) -> None:
    cleaned = clean(text)
    if cleaned.removed:
        detail = pb.PromptValidationErrorDetails(cleaned_text=cleaned.text, removed_count=cleaned.removed)
        said = f"{cleaned.removed} invisible or text-direction character(s) are hidden in it"
        raise InvalidArgument(said, field=field, detail=detail)
