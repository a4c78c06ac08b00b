"""What a server measures of itself: every metric by name, in one place."""

from dataclasses import dataclass

from hostler.core.metrics import Counter, Gauge, Histogram, Registry, Sum, Tally


@dataclass(frozen=True, slots=True)
class Meters:
    """The metrics of one process."""

    registry: Registry
    requests: Histogram
    open_requests: Tally
    refused: Counter
    executions_started: Counter
    executions: Gauge
    turns_started: Counter
    turns_ended: Counter
    turn_seconds: Histogram
    model_calls: Counter
    model_seconds: Histogram
    tokens: Counter
    guessed_tokens: Counter
    cost: Counter
    tool_calls: Counter
    tool_seconds: Histogram
    egress_refused: Counter
    environments: Gauge
    slots: Gauge
    waiting_turns: Gauge
    commits: Histogram
    store_queue: Gauge
    deliveries: Counter
    due_deliveries: Gauge
    webhooks: Gauge
    maintenance: Gauge
    info: Gauge
    processor: Sum
    process: tuple[Gauge, ...]


PROCESS = (
    ("process_resident_memory_bytes", "Resident memory of the server."),
    ("process_virtual_memory_bytes", "Virtual memory of the server."),
    ("process_open_fds", "Open file descriptors."),
    ("process_max_fds", "File descriptors that may be open."),
    ("process_start_time_seconds", "When the server started, since 1970."),
    ("process_threads", "Threads of the server."),
)


def meters() -> Meters:
    """Return the metrics of a process that has just begun."""
    r = Registry()
    return Meters(
        registry=r,
        requests=r.histogram(
            "hostler_request_seconds", "Requests by method and code, and how long they took.", "method", "code"
        ),
        open_requests=r.tally(
            "hostler_open_requests", "Requests being answered; of streaming methods, who watches.", "method"
        ),
        refused=r.counter("hostler_requests_over_rate", "Requests refused because there were too many.", "by"),
        executions_started=r.counter("hostler_executions_started", "Executions started here."),
        executions=r.gauge("hostler_executions", "Executions of the whole installation by phase.", "phase"),
        turns_started=r.counter("hostler_turns_started", "Turns begun here."),
        turns_ended=r.counter("hostler_turns_ended", "Turns that ended here, by reason.", "reason"),
        turn_seconds=r.histogram("hostler_turn_seconds", "How long turns took."),
        model_calls=r.counter("hostler_model_calls", "Model calls by PROVIDER:NAME and outcome.", "model", "outcome"),
        model_seconds=r.histogram("hostler_model_call_seconds", "How long model calls took that ended well.", "model"),
        tokens=r.counter(
            "hostler_tokens", "Tokens that providers counted; the four kinds are disjoint.", "model", "kind"
        ),
        guessed_tokens=r.counter(
            "hostler_guessed_tokens", "Tokens of calls that were cut off, guessed.", "model", "kind"
        ),
        cost=r.counter("hostler_cost_dollars", "Dollars, by the prices of the settings.", "model"),
        tool_calls=r.counter("hostler_tool_calls", "Tool calls by tool and outcome.", "tool", "outcome"),
        tool_seconds=r.histogram("hostler_tool_call_seconds", "How long tool calls took.", "tool"),
        egress_refused=r.counter("hostler_egress_refused", "Hosts that environments asked for and were refused."),
        environments=r.gauge("hostler_environments", "Environments of the whole installation by phase.", "phase"),
        slots=r.gauge("hostler_turn_slots", "Slots for turns in this process: used, and all.", "state"),
        waiting_turns=r.gauge("hostler_turns_waiting_for_slot", "Turns that wait for a slot in this process."),
        commits=r.histogram("hostler_store_commit_seconds", "How long commits of the database took."),
        store_queue=r.gauge("hostler_store_queue", "Writes that wait for the next commit."),
        deliveries=r.counter(
            "hostler_webhook_deliveries", "Tries to deliver to webhooks from here, by outcome.", "outcome"
        ),
        due_deliveries=r.gauge("hostler_webhook_deliveries_due", "Deliveries that are not made yet."),
        webhooks=r.gauge("hostler_webhooks", "Webhooks by state.", "state"),
        maintenance=r.gauge("hostler_maintenance", "1 while maintenance mode is on."),
        info=r.gauge("hostler_build", "The release that runs here.", "version"),
        processor=r.sum("process_cpu_seconds", "Processor time that the server has used."),
        process=tuple(r.gauge(name, told) for name, told in PROCESS),
    )
