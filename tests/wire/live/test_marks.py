"""Pins and stars at the live door and at REST."""

from tests.wire.door import Door


async def test_pins_come_live_to_all_readers_and_stars_to_their_person_alone(door: Door) -> None:
    (ada, http), (bo, bos) = await door.guest(), await door.guest()
    lobby = (await http.get("/api/rooms")).json()["rooms"][0]["id"]
    async with door.live(ada) as live, door.live(ada) as tab, door.live(bo) as other:
        for one in (live, tab, other):
            await one.ask(t="sub", room=lobby)
        said = await live.say(lobby, "The door code is 42.")
        place = {"msg": said["msg"], "seq": said["seq"]}
        assert (await other.ask(t="pin", msg=said["msg"]))["t"] == "ok"
        for one in (live, tab, other):
            event = await one.event("message.pinned")
            assert (event["d"], event["by"]) == (place, other.welcome["me"]["id"])
        assert (await http.put(f"/api/messages/{said['msg']}/star")).status_code == 204
        for one in (live, tab):
            told = await one.push("own")
            assert told == {"t": "own", "room": lobby, "seq": said["seq"], "starred": True}
        for who, starred in ((http, True), (bos, None)):
            found = (await who.get(f"/api/rooms/{lobby}/messages")).json()["messages"][-1]
            assert (found["pinned"], found.get("starred")) == (True, starred)
        (pin,) = (await bos.get(f"/api/rooms/{lobby}/pins")).json()["messages"]
        assert (pin["id"], pin["pinned"]) == (said["msg"], True)
        page = (await http.get("/api/starred")).json()
        assert [(one["message"]["id"], one["title"]) for one in page["starred"]] == [
            (said["msg"], "Lobby")
        ]
        assert page["next"] is None
        assert (await bos.get("/api/starred")).json() == {"starred": [], "next": None}
        for verb in ("unpin", "unstar"):
            assert (await live.ask(t=verb, msg=said["msg"]))["t"] == "ok"
        assert (await other.event("message.unpinned"))["d"] == place
        assert (await tab.push("own", lambda frame: not frame["starred"]))["seq"] == said["seq"]
        top = await http.patch(f"/api/me/rooms/{lobby}", json={"pinned": True})
        assert top.json()["pinned"] is True
        assert (await tab.push("own", lambda frame: "seq" not in frame))["room"] == lobby
        listed = (await http.get("/api/rooms?pinned=true")).json()["rooms"]
        assert [one["id"] for one in listed] == [lobby]
        assert (await bos.get("/api/rooms?pinned=true")).json()["rooms"] == []
        assert (await other.ask(t="ping"))["t"] == "pong"
        assert not [frame for frame in other.pushed if frame["t"] == "own"]
