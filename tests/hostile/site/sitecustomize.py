"""Is imported by each Python whose path has this folder, and has the guard watch it."""

import os

from tests.hostile import guard

# Numba's own cache is made of pickles.
guard.install(os.environ[guard.VARIABLE], guard.FETCHES + guard.STARTS)
