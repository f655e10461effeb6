"""Whether there were guests before a server had an owner: they are served as before, until there is one."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute(
        "INSERT INTO meta (name, value) SELECT 'guests_before', 'yes'"
        " WHERE EXISTS (SELECT 1 FROM actors WHERE guest AND unused IS NULL)"
    )
