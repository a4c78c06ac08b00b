"""Where the data folder is when nobody says; known to the server and to the command line, and free of imports."""

import os
from pathlib import Path


def default_data_folder() -> Path:
    """Return /var/lib/hostler for root, whose own home the sandboxes' users cannot pass, else a folder in the home."""
    if getattr(os, "geteuid", lambda: -1)() == 0:
        return Path("/var/lib/hostler")
    return Path("~/.local/share/hostler").expanduser()
