"""The pages: rendered on the server, live over server-sent events, without a build step or an outside asset.

Handlers, templates and the two kinds of static file live here. What is shown comes from projections and from the
API's parts; nothing here decides anything.
"""
