"""What to do: plain know-how. Knows no actor, no thread, no pykka."""
