"""The program at the other end of the stream: it runs inside an environment and outlives the server.

The folder is copied whole into the data folder and started by the environment's own Python (3.11 or later), so it
needs only the standard library and imports nothing else of Hostler. What it says is untrusted on the server's side,
for hostile code shares its uid.
"""
