"""``make demo``: a release under load through two slots, a broken one put back, and the ordinary script for contrast."""
