-- Run once, when the volume of Postgres is empty. The store's own database is made by the image (POSTGRES_DB).
-- Dagster has a second one: both keep a table alembic_version.
CREATE DATABASE dagster;
