"""A tutoring service on PostgreSQL, Redis, a language model and a speech service, protected end to end by upright.

    python -m examples.tutoring_service     starts stand-ins for all four and serves http://127.0.0.1:8000

Read lessons.py first: a database, its healing and its fallback chain. tutor.py does the same with a language model,
visits.py with Redis, voice.py with a WebSocket, pages.py with memory. app.py puts them together.
"""
