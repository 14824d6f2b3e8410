"""The paper's pictures of any generator: each a function of a renderer -> (uint8 [H, W, 3], what it shows).

`samples`, `mixing`, `noise_detail`, `noise_layers`, `truncation` and `interpolation` make them, `rendering` has latents
and images by address, `layer_groups` says which layers are coarse and fine, `sheet` places images, words and curves,
`folder` writes the files.
"""

from latentlab.figures.folder import FIGURES, figure_names, save_figures
from latentlab.figures.rendering import FigureSettings, Renderer

__all__ = ["FIGURES", "FigureSettings", "Renderer", "figure_names", "save_figures"]
