"""The page's files: each with its headers, none from outside of the folder, and help where there are none."""

import gzip
import json
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.wire.door import Door

from palaver.wire.pages.page import ASK_AGAIN, FOREVER, Page


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "page"
    (root / "assets").mkdir(parents=True)
    (root / ".vite").mkdir()
    (root / ".vite" / "manifest.json").write_text("{}")
    (root / "index.html").write_text("<!doctype html><title>Palaver</title>")
    for name in ("device", "invite", "sign"):
        (root / f"{name}.html").write_text(f'<title>{name}</title><script src="./x.js"></script>')
    (root / "favicon.svg").write_text("<svg/>")
    (root / "assets" / "index-abc.js").write_text("let a = 1;" * 1_000)
    app = Starlette(routes=Page(root).routes())
    app.router.redirect_slashes = False  # as in `create_app`
    return TestClient(app)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/r/r_1", "/r/r_1/12", "/r/any/thing/else", "/deleted"),
        *("/settings", "/settings/keys", "/?installed", "/r/r_1?p=chat"),
    ],
)
def test_the_pages_own_addresses_are_its_one_document(client: TestClient, path: str) -> None:
    got = client.get(path)
    assert (got.status_code, got.headers["cache-control"]) == (200, ASK_AGAIN)
    assert "<title>Palaver" in got.text
    assert got.headers["content-type"].startswith("text/html")
    again = client.get(path, headers={"if-none-match": got.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("device", "device"), ("invite", "invite")),
        *(("sign-in", "sign"), ("sign-up", "sign"), ("reset", "sign")),
    ],
)
def test_what_opens_before_the_chats_has_a_document_of_its_own(
    client: TestClient, path: str, name: str
) -> None:
    got = client.get(f"/{path}")
    assert (got.status_code, got.headers["cache-control"]) == (200, ASK_AGAIN)
    assert got.text == f'<title>{name}</title><script src="/x.js"></script>'


def test_hashed_files_are_kept_for_ever_and_travel_compressed(client: TestClient) -> None:
    got = client.get("/assets/index-abc.js")
    assert got.headers["cache-control"] == FOREVER
    assert got.headers["content-encoding"] == "gzip"
    assert "javascript" in got.headers["content-type"]
    plain = client.get("/assets/index-abc.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == got.content
    assert len(gzip.compress(plain.content)) < len(plain.content)


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/.vite/manifest.json",
        "/secret.txt",
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/",
        "/assets/index-abc.js/",
        "/r",
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    got = client.get(path)
    assert got.status_code == 404, got.text
    assert "secret" not in got.text


def test_where_there_is_no_page_one_says_what_to_do(tmp_path: Path) -> None:
    client = TestClient(Starlette(routes=Page(tmp_path / "none").routes()))
    got = client.get("/")
    assert got.status_code == 503
    assert "./run" in got.text
    assert "docs" in got.text


def test_the_server_knows_the_addresses_that_the_page_knows(client: TestClient) -> None:
    """The page's own router is asked the same in ui/src/lib/route.test.ts."""
    file = Path(__file__).parents[2] / "data" / "addresses.json"
    addresses: dict[str, str] = json.loads(file.read_text())
    for path, view in addresses.items():
        assert client.get(path).status_code == (404 if view == "nothing" else 200), path
    page = Page()
    for route in page.routes():
        if route.endpoint == page.document:
            assert any(route.path_regex.fullmatch(path) for path in addresses), route.path


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/nothing", "/x/y", "/api", "/r", "/index.html", "/settings/"])
async def test_who_opens_an_unknown_address_gets_a_page_and_a_program_a_problem(
    door: Door, path: str
) -> None:
    visited = await door.http().get(path, headers=BROWSER)
    assert visited.status_code == 404
    assert visited.headers["content-type"].startswith("text/html")
    assert "<title>Palaver" in visited.text
    assert "etag" in visited.headers
    again = await door.http().get(
        path, headers=BROWSER | {"if-none-match": visited.headers["etag"]}
    )
    assert (again.status_code, again.text) == (404, visited.text), "never 'not modified'"
    asked = await door.http().get(path)
    assert (asked.status_code, asked.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/x"), ("GET", "/v1/x"), ("GET", "/assets/old.js"), ("POST", "/nothing")],
)
async def test_a_call_that_is_not_there_stays_a_problem_whoever_makes_it(
    door: Door, method: str, path: str
) -> None:
    got = await door.http().request(method, path, headers=BROWSER)
    assert got.status_code == 404
    assert "json" in got.headers["content-type"]


async def test_the_built_page_is_served_by_the_server(door: Door) -> None:
    got = await door.http().get("/r/r_1/5")
    assert got.headers["content-type"].startswith("text/html")
    assert "unsafe" not in got.headers["content-security-policy"]
