"""The first file of a support bundle: what the others are."""

README = """\
This is a support bundle of one execution of Hostler: what somebody who is to help would ask for.
Secrets that the server knows are masked as [redacted] in all of it. What an agent read, wrote and was told is in it:
look through it before you give it to somebody else.

  status.json          the execution as GetAgentExecution answers it
  log.jsonl            its whole event log, one event a line; everything else about it follows from this
  row.json             what is kept beside the log, and whether it is the same as what the log says (same_as_log)
  calls.json           every model call: when, which model, how it ended, the tokens; and their sums
  environment.json     the environments that it used: row, class, which limits hold there and by which means
  environment-log.txt  the last of those environments' logs: making, setup commands and their output, starts, stops
  versions.json        Hostler, Python, the system, the database, bubblewrap, git, Codex
  settings.json        the server's settings without secrets; of variables only the names
  doctor.json          whether the server takes work, its sandbox and its model
  server-log.jsonl     the last lines of the server's own log (who is no administrator: those about this execution)
  errors.txt           only there when a part could not be made: which, and why

The log can be looked at with any JSON tool: jq -r '[.seq, .at, .kind] | @tsv' log.jsonl
"""
