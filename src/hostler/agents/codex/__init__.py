"""The Codex agent: `codex app-server` inside the environment, spoken to in JSON-RPC, one message a line.

`driver.py` is the `AgentDriver`; `launching.py` is its command line, `messages.py` what is said to it, `reading.py`
what is understood of its output, with `items.py` (one item of a turn), `children.py` (its own sub-agents), `faults.py`
(why it gave up) and `asking.py` (its requests to us). `settings.py` translates the contract's CodexSettings.
All of it is pure; the corpus in tests/agents/codex holds lines of the real program.
"""
