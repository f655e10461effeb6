import json

import pytest

from palaver.providers.openai.models import Offer, can_chat, models_of, offer_in, offered


def test_an_offer_holds_each_id_once_and_drops_what_is_none() -> None:
    data = [{"id": "a", "owned_by": "x"}, {"id": "a"}, {"id": 7}, {}, None, {"id": ""}, {"id": "b"}]
    offer = offer_in(json.dumps({"data": data}).encode())
    assert offer is not None
    assert offer.ids == ("a", "b")
    assert "x" in offer.owners


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"data":{}}', b"\xff", b"[" * 9**6]
)
def test_what_is_no_list_of_models_is_no_offer(body: bytes) -> None:
    assert offer_in(body) is None


def test_a_list_without_end_is_cut() -> None:
    offer = offer_in(json.dumps({"data": [{"id": str(i)} for i in range(5_000)]}).encode())
    assert offer is not None
    assert len(offer.ids) == 1_000


@pytest.mark.parametrize(
    ("model", "chats"),
    [
        ("llama3.2:latest", True),
        ("gpt-4.1-mini", True),
        ("mistral-7b-instruct", True),
        ("qwen2.5-vl", True),
        ("text-embedding-3-large", False),
        ("nomic-embed-text:latest", False),
        ("bge-reranker-v2", False),
        ("whisper-1", False),
        ("gpt-4o-mini-tts", False),
        ("dall-e-3", False),
        ("omni-moderation-latest", False),
    ],
)
def test_a_models_name_tells_whether_it_chats(model: str, *, chats: bool) -> None:
    assert can_chat(model) is chats


def test_a_model_is_found_with_or_without_its_latest_tag() -> None:
    offer = Offer(ids=("llama3.2:latest", "qwen"))
    assert offered(offer, "llama3.2") == "llama3.2:latest"
    assert offered(offer, "qwen") == "qwen"
    assert offered(offer, "qwe") is None


@pytest.mark.parametrize(
    ("ids", "wanted", "default"),
    [
        (("embed-x", "a", "b"), None, "a"),
        (("zephyr", "gpt-5-mini"), None, "gpt-5-mini"),
        (("a", "b"), "b", "b"),
        (("a",), "not-listed", "not-listed"),
        (("my-embed-chat",), "my-embed-chat", "my-embed-chat"),
    ],
)
def test_the_default_comes_first_and_alone_is_marked(
    ids: tuple[str, ...], wanted: str | None, default: str
) -> None:
    models = models_of(Offer(ids=ids), provider="p", wanted=wanted)
    assert [model.id for model in models if model.default] == [default]
    assert models[0].id == default
    assert len({model.id for model in models}) == len(models)


def test_an_offer_of_embeddings_only_has_no_models() -> None:
    assert models_of(Offer(ids=("text-embedding-3",)), provider="p", wanted=None) == ()
