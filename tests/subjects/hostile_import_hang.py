"""A module that never ends being imported."""

import time

time.sleep(1000)
