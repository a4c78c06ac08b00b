"""The scripted model as a provider: it answers agents in their protocols, so that they run without a key."""
