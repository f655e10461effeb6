import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command import palaver
from tests.support.server import Serve

pytestmark = pytest.mark.slow  # each test starts processes


async def test_serve_says_where_it_is_and_stops_when_told(serve: Serve) -> None:
    server = await serve()
    assert await server.term() == 0
    assert f"Palaver is at {server.url}" in server.tail()
    assert "palaver.db" in server.tail()


async def test_a_second_server_on_one_directory_says_who_has_it(serve: Serve) -> None:
    server = await serve()
    done = palaver(server.data, "serve", "--port", "0", "--data-dir", str(server.data))
    assert done.code == 3
    assert "database_locked" in done.err
    assert str(server.pid) in done.err


async def test_a_taken_port_is_refused_with_what_to_do(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    port = server.url.rpartition(":")[2]
    done = palaver(tmp_path, "serve", "--port", port, "--data-dir", str(tmp_path / "other"))
    assert done.code == 3
    assert "[port_taken]" in done.err
    assert "--port" in done.err


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_data_directory_of_any_name_holds_all_of_its_history(
    serve: Serve, tmp_path: Path
) -> None:
    name = "a?b%20c#d"
    server = await serve(name=name, environment={"HOME": str(tmp_path)})
    made = palaver(tmp_path, "key", "create", "--name", "laptop", "--data-dir", name)
    assert made.code == 0, made.err
    assert await server.term() == 0
    assert {"palaver.db", "journal"} <= names_in(tmp_path / name)
    assert names_in(tmp_path) == {name}
    listed = palaver(tmp_path, "key", "list", "--data-dir", name)
    assert "laptop" in listed.out
    checked = palaver(tmp_path, "verify", f"{name}/palaver.db")
    assert (checked.code, checked.err) == (0, "")


async def test_a_start_after_a_kill_clears_away_what_named_the_dead(serve: Serve) -> None:
    server = await serve()
    places = [server.data / "journal" / place for place in ("streams", "drafts", "exchanges")]
    for place in places:
        (place / "earlier.owner").touch()  # each journal of an earlier version had one
    await server.kill()
    dead = {path.name for place in places for path in place.glob("*.owner")}
    assert len(dead) == 1 + 1
    await server.start()
    living = {path.name for place in places for path in place.glob("*.owner")}
    assert len(living) == 1
    assert living.isdisjoint(dead)
    assert await server.term() == 0
    assert not [path for place in places for path in place.glob("*.owner")]


def test_the_parent_of_workers_goes_on_collecting_its_garbage(tmp_path: Path) -> None:
    script = """if True:
        import gc
        from palaver.cli.serve import serve
        try:
            serve(workers=2)
        except Exception as refused:
            print(refused.code, gc.isenabled())
    """
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "settings_invalid True"


def test_a_server_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """How long a start takes is measured by benchmarks/; this is what keeps it short."""
    heavy = "{'alembic', 'openai', 'asyncpg', 'jinja2', 'multipart'}"
    script = f"import sys, palaver.wire.server.server; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
