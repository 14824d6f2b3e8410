"""The field's standard disentanglement metrics: MIG, modularity, SAP, DCI and explicitness. Higher is better for all.

Every metric is a function of latents [N, D] and factors [N, K]: labels or numbers on a scale. `problem` checks and
splits them, `mutual_information`, `sap`, `dci` and `explicitness` are the metrics, `measuring` puts them beside their
baseline, `on_store` measures a store, `factor_files` reads factors. docs/disentanglement.md defines them.
"""

from latentlab.metrics.disentanglement.measuring import METRICS, DisentanglementScore, disentanglement_scores

__all__ = ["METRICS", "DisentanglementScore", "disentanglement_scores"]
