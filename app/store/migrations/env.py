"""What Alembic runs: the migrations over the connection that `app.store.schema.migrate` gives, in one transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
