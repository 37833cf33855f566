"""Alembic's entry: runs on the connection that `storage.schema` hands over."""

from alembic import context

from crypto_platform.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
    user_module_prefix="",  # scripts import UTCDateTime by name
)
with context.begin_transaction():
    context.run_migrations()
