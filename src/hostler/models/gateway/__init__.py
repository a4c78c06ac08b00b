"""The one place where agents inside environments reach a model: keys, metering, limits and stops stay outside."""
