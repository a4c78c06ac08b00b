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
        cut = data.find(self._key[:1], max(0, len(data) - len(self._key) + 1))
        while cut >= 0 and not self._key.startswith(data[cut:]):
            cut = data.find(self._key[:1], cut + 1)
        if cut < 0:
            self._held = b""
            return data
        self._held = data[cut:]
        return data[:cut]

    def flush(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held, b""
        return held

    def text(self, text: str) -> str:
        """Return a whole text with the key masked."""
        return text.replace(self._key.decode(), MASK.decode()) if self._key else text
