"""The paper's pictures of any generator: each a function of a renderer -> (a drawing, what it shows).

`samples`, `mixing`, `noise_detail`, `noise_layers`, `truncation` and `interpolation` draw images as pixels (uint8
[H, W, 3]): `rendering` has latents and images by address, `layer_groups` says which layers are coarse and fine, `sheet`
places images, words and curves. `corner` (with `corner_planes`, `corner_drawing`, `training_data`), `moves` (attribute
directions) and `curves` (with `statistics`) draw with matplotlib what `material` finds beside the network. `formats`
writes files, `folder` all of them.
"""

from latentlab.figures.folder import FIGURES, OF_DIRECTIONS, OF_STORE, figure_names, save_figures
from latentlab.figures.formats import Plot, formats_of
from latentlab.figures.material import Material, Sources
from latentlab.figures.rendering import FigureSettings, Renderer

__all__ = [
    "FIGURES",
    "OF_DIRECTIONS",
    "OF_STORE",
    "FigureSettings",
    "Material",
    "Plot",
    "Renderer",
    "Sources",
    "figure_names",
    "formats_of",
    "save_figures",
]
