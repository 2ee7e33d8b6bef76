"""``make bench``: what a swap costs beyond the application's own boot, beside a stock playbook and a bare script."""
