"""The names of OpenTelemetry's semantic conventions that traces and metrics use, in one place.

Those for generative AI are still in development; when they change, they change here.
"""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
INPUT = "gen_ai.usage.input_tokens"
OUTPUT = "gen_ai.usage.output_tokens"
CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens"
FINISH = "gen_ai.response.finish_reasons"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
TOOL = "gen_ai.tool.name"
TOOL_CALL = "gen_ai.tool.call.id"
TOKEN_TYPE = "gen_ai.token.type"
ERROR = "error.type"

CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
INVOKE_AGENT = "invoke_agent"

DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"
DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(float(4**power) for power in range(14))
"""The conventions' own buckets."""

METHOD = "http.request.method"
ROUTE = "http.route"
STATUS = "http.response.status_code"
RPC_SYSTEM = "rpc.system"
RPC_SERVICE = "rpc.service"
RPC_METHOD = "rpc.method"

SERVICE = "service.name"
VERSION = "service.version"
INSTANCE = "service.instance.id"

TURN = "hostler.turn"
OUTCOME = "hostler.outcome"
COST = "hostler.cost.dollars"
GUESSED = "hostler.usage.guessed"

PROVIDERS = {"openai-responses": "openai", "openai-chat": "openai", "anthropic": "anthropic"}
"""What the conventions call our providers; others keep their own name."""


def provider_and_model(name: str) -> tuple[str, str]:
    """Return what the conventions call the two halves of PROVIDER:NAME."""
    provider, _, model = name.partition(":")
    return PROVIDERS.get(provider, provider), model or name
