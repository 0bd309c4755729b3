"""Pictures of what a model has learned.

Every function takes `ax=`, draws into it and returns the Axes (`latent_stages` takes `axes=`, one a stage); without it
a new figure is made. None calls `show`, and the numbers stay reachable in the artists: a scatter's offsets, a line's
data, an image's array. They need matplotlib, the extra `plot`; `save_grid` alone does without it. `report` writes all
of a run's pictures and its scores as one page.
"""

from .copies import nearest, neighbours
from .curves import history
from .drawing import between, class_grid, interpolation
from .evolution import evolution, save_evolution
from .images import image_grid, reconstructions, save_grid, tile
from .latent import latent, latent_stages, manifold
from .page import report
from .scores import comparison, fid

__all__ = [
    "between",
    "class_grid",
    "comparison",
    "evolution",
    "fid",
    "history",
    "image_grid",
    "interpolation",
    "latent",
    "latent_stages",
    "manifold",
    "nearest",
    "neighbours",
    "reconstructions",
    "report",
    "save_evolution",
    "save_grid",
    "tile",
]
