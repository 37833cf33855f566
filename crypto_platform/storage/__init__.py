"""The warehouse (SQLite or Postgres) and the artifact store. No domain decisions, no clock, no environment."""
