"""The main job, on real parts: a service, a real PostgreSQL that is broken again and again, and upright."""
