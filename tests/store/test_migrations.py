"""The revisions themselves: from nothing to the newest, in one transaction."""

from sqlalchemy import create_engine

from palaver.store import migrate
from palaver.store.schema import metadata


def test_the_revisions_make_every_table_in_the_transaction_they_are_given() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as conn, conn.begin():
        migrate._migrate(conn, str.split)
        assert conn.in_transaction()
        assert migrate.revision(conn) == migrate.head()
        names = set(conn.dialect.get_table_names(conn))
        assert names == {*metadata.tables, "alembic_version"}
    engine.dispose()
