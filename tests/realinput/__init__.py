"""The main job on a library that people use: its own sources, its own tests, one line of it broken."""
