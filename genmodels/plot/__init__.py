"""Pictures of what a model has learned.

Every function takes `ax=`, draws into it and returns the Axes; without it a new figure is made. None calls `show`, and
the numbers stay reachable in the artists: a scatter's offsets, a line's data, an image's array. They need matplotlib,
the extra `plot`; `save_grid` alone does without it.
"""

from .curves import history
from .images import image_grid, reconstructions, save_grid, tile
from .latent import latent, manifold

__all__ = ["history", "image_grid", "latent", "manifold", "reconstructions", "save_grid", "tile"]
