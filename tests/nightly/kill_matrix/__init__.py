"""The kill matrix: every law on every faulty and every right implementation.

``python -m tests.nightly.kill_matrix --help`` tells how to run it. catalogue.py finds the
implementations, plans.py says which law is run next on which, crew.py runs it in a worker process
(worker.py), results.py keeps what came out, and summary.py and tables.py show it.
"""
