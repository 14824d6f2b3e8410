"""Linear separability (paper, section 4.2): how well a hyperplane in Z or W tells whether an attribute is present.

Per attribute, the most confidently labelled samples are kept, a linear SVM is fitted from latents to labels, and
H(Y|X), the entropy of the label Y left when the SVM's answer X on the same samples is known, is computed.
Score = exp(sum over attributes of H in nats) = 2^(sum in bits); 1 is perfect, lower is better, and hyperplanes that say
nothing score 2^(sum of H(Y)).
"""

from latentlab.metrics.separability.comparing import Comparison, compare_stores
from latentlab.metrics.separability.pruning import Protocol, most_confident
from latentlab.metrics.separability.scoring import SeparabilityScore, linear_separability
from latentlab.metrics.separability.stores import separability_results

__all__ = [
    "Comparison",
    "Protocol",
    "SeparabilityScore",
    "compare_stores",
    "linear_separability",
    "most_confident",
    "separability_results",
]
