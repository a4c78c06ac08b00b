"""What each release wrote, so that later ones go on reading it: a folder a release, made by `record.py` of its tree."""
