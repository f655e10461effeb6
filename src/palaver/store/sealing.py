"""Seals the keys of model servers with a secret that lies beside the database, and in no backup of it.

What is sealed is `1`, four bytes that name the secret, a nonce, and what XChaCha20-Poly1305 makes of the text; it opens
only for the row and the field for which it was sealed. The file holds 32 bytes, and behind them those of the secrets
before while something may still be sealed with them. Who seals has locked the audit room, as who seals all anew has: so
nothing is sealed with a secret that is then forgotten. Nothing here knows what is sealed.
"""

import hashlib
import os
from collections.abc import Sequence

from pydantic import SecretStr

from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store import files

FILE = "secret.key"
SECRET_BYTES = 32
SECRETS_MAX = 16
VERSION = b"\x01"
_HEAD, _NONCE_BYTES, _PROOF_BYTES = 5, 24, 16


class Secret:
    """The secret of a data directory, or of the file that a setting names. Made when something is sealed first."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.secret_key_file or settings.data_dir / FILE
        self._known: dict[bytes, bytes] = {}

    def seal(self, text: SecretStr, field: str) -> bytes:
        """Seals a text for a field of a row. Refused: `place_unusable`."""
        from nacl import bindings  # noqa: PLC0415  a server is ready sooner without it

        secret = (self._read() or self._put([os.urandom(SECRET_BYTES)]))[0]
        head, nonce = VERSION + _name_of(secret), os.urandom(_NONCE_BYTES)
        sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            text.get_secret_value().encode(), head + field.encode(), nonce, secret
        )
        return head + nonce + sealed

    def opened(self, sealed: bytes, field: str) -> SecretStr | None:
        """The text; None where the secret is not here, or it was sealed for something else."""
        from nacl import bindings, exceptions  # noqa: PLC0415  as above

        head, nonce = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE_BYTES]
        if head[1:] not in self._known:
            self._known = {_name_of(one): one for one in self._read()}
        secret = self._known.get(head[1:])
        if secret is None or len(sealed) < _HEAD + _NONCE_BYTES + _PROOF_BYTES:
            return None
        try:
            text = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed[_HEAD + _NONCE_BYTES :], head + field.encode(), nonce, secret
            )
        except exceptions.CryptoError:
            return None
        return SecretStr(text.decode())

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the secret that seals now."""
        return sealed[1:_HEAD] == _name_of(self._read()[0])

    def is_changing(self) -> bool:
        """Whether another secret than the one that seals now is there, too."""
        return len(self._read()) > 1

    def renew(self) -> None:
        """Puts another secret before those that there are, on the disk. Refused: `place_unusable`."""
        self._put([os.urandom(SECRET_BYTES), *self._read()][:SECRETS_MAX])

    def forget_others(self) -> None:
        """Forgets all secrets but the one that seals now: nothing is sealed with them any more."""
        self._put(self._read()[:1])

    def _read(self) -> Sequence[bytes]:
        with files.usable(self._file, "PALAVER_SECRET_KEY_FILE says where it is"):
            try:
                held = self._file.read_bytes()
            except FileNotFoundError:
                return ()
        if not held or len(held) % SECRET_BYTES or len(held) > SECRET_BYTES * SECRETS_MAX:
            told = f"{self._file} holds no secret, which is {SECRET_BYTES} bytes."
            raise Refused(Code.PLACE_UNUSABLE, told)
        return [held[at : at + SECRET_BYTES] for at in range(0, len(held), SECRET_BYTES)]

    def _put(self, secrets: Sequence[bytes]) -> Sequence[bytes]:
        part = self._file.with_name(f"{self._file.name}.part")
        with files.usable(self._file, "PALAVER_SECRET_KEY_FILE says where it is"):
            part.unlink(missing_ok=True)
            files.new_file(part)
            part.write_bytes(b"".join(secrets))
            files.put(part, self._file)
        return secrets


def _name_of(secret: bytes) -> bytes:
    return hashlib.sha256(b"palaver secret" + secret).digest()[: _HEAD - 1]
