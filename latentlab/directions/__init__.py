"""Attribute directions: normals of linear SVMs in Z or W, edits along them, and what these edits change.

`form` owns the file directions.npz and `provenance` its JSON texts, `fitting` makes directions of a store,
`conditioning` makes them orthogonal to others, `boundaries` writes them for other scripts. `editing` moves latents and
makes images, `steps` says how far, `rescoring` measures with classifiers what moved, `tables` writes it; `strips`
(placed by `layout` and `lettering`) and `heatmaps` draw. docs/directions.md says what it all means.
"""
