"""The imperative shell: makes running what the plan wants, and appends what happened. The only caller of ports."""
