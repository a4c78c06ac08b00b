"""The reviewed list: every way in which proto/ differs from what is published, and why.

Anything else that differs is a mistake, and a test says so.
"""

EXECUTION = "gitpod.v1.AgentExecution"
UPDATE = "gitpod.v1.UpdateAgentExecutionRequest"

# Older clients send and read these; the published contract reserves their numbers, so newer clients skip them.
FIELDS_OF_OURS: dict[tuple[str, str], int] = {
    (f"{EXECUTION}.Spec", "mode"): 7,
    (f"{EXECUTION}.Spec", "loop_conditions"): 8,
    (f"{EXECUTION}.Status", "loop_condition_results"): 120,
    (UPDATE, "spec"): 3,  # sets loop conditions and limits, which nothing published can
    # What a project runs in a new environment: published clients keep it in files of the repository only.
    ("gitpod.v1.Project", "setup"): 1001,
    ("gitpod.v1.CreateProjectRequest", "setup"): 1001,
    ("gitpod.v1.UpdateProjectRequest", "setup"): 1001,
    # The size of an environment can be changed while it is stopped; published clients have no word for it.
    ("gitpod.v1.UpdateEnvironmentRequest.Spec", "machine"): 1001,
}
MESSAGES_OF_OURS: dict[str, dict[str, int]] = {
    f"{EXECUTION}.Spec.LoopCondition": {"id": 1, "expression": 2, "description": 3},
    f"{EXECUTION}.Status.LoopConditionResult": {"condition_id": 1, "met": 2, "iteration": 3, "last_evaluated_at": 4},
    f"{UPDATE}.Spec": {"loop_conditions": 1, "limits": 2},
    "gitpod.v1.SetupCommands": {"commands": 1},
}
RESERVED_NUMBERS_IN_USE: dict[str, set[int]] = {
    f"{EXECUTION}.Spec": {7, 8},
    f"{EXECUTION}.Status": {120},
    UPDATE: {3},
}

# Rules that we keep looser than published. Rules on answers need no entry: an answer is not validated.
RELAXED_RULES = {
    # Empty means the default class, which is what a person who names only a URL wants.
    ("gitpod.v1.AgentCodeContext.ContextURL", "environment_class_id"): {
        "ignore": "IGNORE_IF_ZERO_VALUE",
        "string": {"uuid": True},
    },
}

# What only clients of other generations know; client 1.2.0 has no descriptor to compare with.
METHODS_OF_OTHER_GENERATIONS = {
    "gitpod.v1.AgentService": {
        "ListAgents",
        "GetAgent",
        "CreateAgent",
        "UpdateAgent",
        "DeleteAgent",
        "UpdateAgentExecution",
        "ReportAgentExecutionOutputs",
        "EmitAgentSessionActivity",
        "ImprovePromptForAgent",
        "CreateLLMAccessToken",
        "ListMCPIntegrations",
        "CreateMCPAccessToken",
    }
}
MESSAGES_OF_OTHER_GENERATIONS = {
    f"gitpod.v1.{method}{suffix}"
    for method in METHODS_OF_OTHER_GENERATIONS["gitpod.v1.AgentService"]
    for suffix in ("Request", "Response")
} | {f"{UPDATE}.Metadata", "gitpod.v1.UpdateAgentRequest.Metadata", "gitpod.v1.UpdateAgentRequest.Spec"}
ENUM_VALUES_OF_OTHER_GENERATIONS = {
    ("gitpod.v1.EnvironmentRole", "ENVIRONMENT_ROLE_BASE_SNAPSHOT_BUILD"),
    ("gitpod.v1.LLMDisabledCapability", "LLM_DISABLED_CAPABILITY_RESPONSES_LITE_UNSUPPORTED"),
    ("gitpod.v1.ResourceType", "RESOURCE_TYPE_BASE_SNAPSHOT"),
    ("gitpod.v1.ResourceType", "RESOURCE_TYPE_BASE_SNAPSHOT_CONFIG"),
}

# Services of which every published method is described; of the others only those that Hostler serves.
WHOLE_SERVICES = {
    "gitpod.v1.AgentService",
    "gitpod.v1.EnvironmentService",
    "gitpod.v1.IdentityService",
    "supervisor.v1.EnvironmentOpsService",
}
