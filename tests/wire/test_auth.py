"""Who is asking: the cookie, the bearer token, and nothing else."""

from http.cookies import SimpleCookie

from tests.wire.door import Door


async def test_the_first_call_sets_a_cookie_that_no_script_reads(door: Door) -> None:
    http = door.http()
    first = await http.get("/api/me")
    cookie = SimpleCookie(first.headers["set-cookie"])["palaver_session"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("lax", "/", "31536000")
    assert not cookie["secure"], "over plain HTTP a browser would drop it"
    assert len(cookie.value) >= 43
    again = await http.get("/api/me")
    assert "set-cookie" not in again.headers
    assert again.json() == first.json()


async def test_a_refused_first_call_sets_it_too(door: Door) -> None:
    http = door.http()
    assert "set-cookie" in (await http.get("/api/rooms/r_1")).headers
    assert "set-cookie" not in (await http.get("/api/rooms/r_1")).headers


async def test_a_cookie_that_means_nothing_is_replaced(door: Door) -> None:
    for value in ("x", "x" * 43, "x" * 5_000, '"\\377"'):
        got = await door.http().get("/api/me", headers={"cookie": f"palaver_session={value}"})
        assert got.status_code == 200
        assert "set-cookie" in got.headers


async def test_a_token_that_means_nothing_is_refused(door: Door) -> None:
    for header in ("Bearer x", f"Bearer {'x' * 43}", "Basic eDp5", "Bearer", "x", ""):
        got = await door.http().get("/api/me", headers={"authorization": header})
        assert (got.status_code, got.json()["code"]) == (401, "unauthenticated"), header
        assert got.headers["www-authenticate"] == "Bearer"
        assert "set-cookie" not in got.headers


async def test_a_token_wins_over_a_cookie(door: Door) -> None:
    token, http = await door.guest()
    me = (await http.get("/api/me")).json()
    visitor = door.http()
    await visitor.get("/api/me")
    got = await visitor.get("/api/me", headers={"authorization": f"bearer {token}"})
    assert got.json() == me


async def test_pages_that_ask_for_nobody_make_nobody(door: Door) -> None:
    for path in ("/", "/health", "/docs", "/openapi.json", "/nowhere"):
        assert "set-cookie" not in (await door.http().get(path)).headers
