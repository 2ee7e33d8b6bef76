"""The versions of ansible-core and Python that this collection is for: what they are, how they are got, and a release with each.

table.py says which belong together, interpreters.py and debian.py get the Pythons, environments.py makes a virtual environment
of a pair, quick.py releases with it, and ``python -m tools.matrix`` (make test-matrix) plays every scenario with it.
"""
