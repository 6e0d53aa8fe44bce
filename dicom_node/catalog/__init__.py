"""The catalog: facts about the kept instances, and the outbox. The only door to SQLModel and SQLAlchemy."""
