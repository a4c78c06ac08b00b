"""Keeps the real key out of what goes inside, whoever sends it back."""

MASK = b"[redacted]"


class Mask:
    """Masks a key in bytes that arrive in pieces; it holds back only an end that could be the key's beginning."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can pass now."""
        if not self._key:
            return data
        data = (self._held + data).replace(self._key, MASK)
        keep = next((n for n in range(min(len(self._key) - 1, len(data)), 0, -1) if data.endswith(self._key[:n])), 0)
        cut = len(data) - keep
        self._held = data[cut:]
        return data[:cut]

    def flush(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held, b""
        return held

    def text(self, text: str) -> str:
        """Return a whole text with the key masked."""
        return text.replace(self._key.decode(), MASK.decode()) if self._key else text
