"""How Alembic runs our revisions: on the connection, and in the transaction, that `store.migrate` hands it."""

from alembic import context

from palaver.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
