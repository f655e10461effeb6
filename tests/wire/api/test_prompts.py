"""The calls about stored prompts, over real HTTP."""

from tests.wire.door import Door, shaped

from palaver.wire.api.prompts import Prompt, Prompts


async def test_a_prompt_is_made_changed_shown_and_deleted(door: Door) -> None:
    _, ada = await door.guest()
    _, eve = await door.guest()
    answer = await ada.post("/api/prompts", json={"name": "tone", "text": "Be {{kind}}."})
    assert answer.status_code == 201, answer.text
    made = shaped(Prompt, answer.json())
    assert made["id"].startswith("pmpt_")
    assert (made["version"], made["variables"]) == ("1", ["kind"])
    address = f"/api/prompts/{made['id']}"
    answer = await ada.post(f"{address}/versions", json={"text": "Be brief."})
    assert answer.status_code == 201, answer.text
    second = shaped(Prompt, answer.json())
    assert (second["version"], second["name"], second["variables"]) == ("2", "tone", [])
    assert (await ada.get(address)).json() == second
    assert (await ada.get(address, params={"version": 1})).json() == made
    listed = shaped(Prompts, (await ada.get("/api/prompts")).json())
    assert listed["prompts"] == [second]
    assert (await eve.get("/api/prompts")).json() == {"prompts": []}
    for refused in (
        await eve.get(address),
        await eve.delete(address),
        await ada.get(address, params={"version": 3}),
        await ada.get("/api/prompts/pmpt_1"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert (await ada.delete(address)).status_code == 204
    assert (await ada.get(address)).status_code == 404
