"""The page about runs: all their pictures and scores in one file."""

from __future__ import annotations

import os
from pathlib import Path


def report(
    *runs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    data_root: str | None = None,
    verify: bool = True,
) -> Path:
    """Writes one HTML page about one or several runs and returns its path: nothing but the file is needed to read it.

    runs: folders of `genmodels train`. First comes the table of network size, training time, reconstruction error and
    the scores that `genmodels evaluate` left in the folder, with the Fréchet distance's course where it was measured
    in training, and bars of runs that were scored, runs that differ in their seeds alone together. Scores of an epoch
    before the last, or against another data set than the run's, are said to be so and have no bar. Then each run's
    pictures, as far as its model and files allow, its warnings, losses, settings and networks.

    out: the file, by default `report.html` in the folder of a lone run, or else here. `data_root` and `verify` are
    where the data sets lie and whether they must be the published ones, as in `datasets.load`; where a run's cannot be
    had, the page says so and goes without test images.

    Raises ValueError when the runs were scored with different extractors or a file is damaged, OSError for a folder
    that holds no run or a page that cannot be written, ImportError without matplotlib.
    """
    from ..comparison import write_comparison

    folders = [Path(os.fspath(run)) for run in runs]
    return write_comparison(folders, None if out is None else Path(out), data_root, verify)
