"""Secrets that were learned late: known to the redactor from then on, kept sealed so that no file holds them."""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME = "learned"
NONCE = 12
BOUND = b"hostler learned secrets"


def learned(folder: Path, key: bytes) -> tuple[str, ...]:
    """Return the secrets that the data folder keeps; what another key sealed is not known."""
    try:
        raw = b64decode((folder / NAME).read_bytes())
        return tuple(map(str, json.loads(AESGCM(key).decrypt(raw[:NONCE], raw[NONCE:], BOUND))))
    except (FileNotFoundError, InvalidTag, ValueError):
        return ()


def learn(folder: Path, key: bytes, secrets: Iterable[str]) -> None:
    """Keep more secrets; repeating it is fine."""
    known = dict.fromkeys((*learned(folder, key), *secrets))
    nonce = os.urandom(NONCE)
    sealed = b64encode(nonce + AESGCM(key).encrypt(nonce, json.dumps(list(known)).encode(), BOUND))
    part = folder / f".{NAME}.part"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / NAME)
