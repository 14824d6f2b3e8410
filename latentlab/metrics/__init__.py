"""The measures of entanglement: perceptual path length and linear separability. docs/metrics.md defines them."""
