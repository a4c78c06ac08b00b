"""What Hostler costs, measured on this machine beside what one would use instead: `python -m bench.run`."""
