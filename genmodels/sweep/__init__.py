"""A study over models, image sizes, latent sizes and seeds, as one command that can be killed and gone on with.

>>> from genmodels.sweep import Grid, run_sweep
>>> grid = Grid(models=("vae", "wgan"), sizes=(16, 32), latent=(2, 20), seeds=3, data="mnist", epochs=10)
>>> rows = run_sweep(grid, "study")  # doctest: +SKIP

The folder holds `sweep.json` (what was asked for), `trials/<model>-<size>-z<latent>-seed<k>/` (a training run each),
`results.csv` (a row a trial, no times), `times.csv` and `index.html`.
"""

from .grid import Grid, Trial, open_grid
from .page import PAGE
from .pool import worker_pool
from .study import run_sweep
from .tables import RESULTS, TIMES
from .trial import FINISHED, train_trial

__all__ = [
    "FINISHED",
    "PAGE",
    "RESULTS",
    "TIMES",
    "Grid",
    "Trial",
    "open_grid",
    "run_sweep",
    "train_trial",
    "worker_pool",
]
