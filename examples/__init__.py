"""Programs that use upright; each is run by a test."""
