"""What is sealed opens for its field alone, and whatever cuts a change of the secret off, all of it can be read."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store.sealing import SECRET_BYTES, SECRETS_MAX, Secret

FIELD = "f_1 key"


def at(folder: Path, **more: object) -> Settings:
    return Settings.model_validate({"data_dir": folder, "detect": False, **more})


def test_what_is_sealed_opens_for_its_field_and_as_it_is_alone(tmp_path: Path) -> None:
    secret = Secret(at(tmp_path))
    sealed = secret.seal(SecretStr("sk-ä😀"), FIELD)
    assert b"sk-" not in sealed
    assert sealed != secret.seal(SecretStr("sk-ä😀"), FIELD), "by a nonce of its own"
    again = Secret(at(tmp_path))
    opened = again.opened(sealed, FIELD)
    assert opened is not None
    assert opened.get_secret_value() == "sk-ä😀"
    assert again.opened(sealed, "f_2 key") is None
    for place in range(len(sealed)):
        spoilt = bytearray(sealed)
        spoilt[place] ^= 1
        assert again.opened(bytes(spoilt), FIELD) is None, place
        assert again.opened(sealed[:place], FIELD) is None, place
    file = tmp_path / "secret.key"
    assert (file.stat().st_mode & 0o777, file.stat().st_size) == (0o600, SECRET_BYTES)


def test_a_secret_may_lie_elsewhere_and_what_is_none_is_refused_by_its_place(
    tmp_path: Path,
) -> None:
    place = tmp_path / "mounted"
    place.write_bytes(os.urandom(SECRET_BYTES))
    secret = Secret(at(tmp_path / "data", secret_key_file=place))
    sealed = secret.seal(SecretStr("x"), FIELD)
    assert not (tmp_path / "data").exists()
    for held in (b"", b"short", b"x" * SECRET_BYTES * (SECRETS_MAX + 1)):
        place.write_bytes(held)
        with pytest.raises(Refused) as refused:
            secret.seal(SecretStr("x"), FIELD)
        assert refused.value.code is Code.PLACE_UNUSABLE
        assert str(place) in refused.value.detail
    place.unlink()
    assert Secret(at(tmp_path, secret_key_file=place)).opened(sealed, FIELD) is None
