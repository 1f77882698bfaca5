"""Why versions answer as they do: on the whole, kept with the version, and by gradients where the weights are at hand.

Explanations of single requests are made by explainers, which are models themselves: `bmase.explaining`.
"""

from bmase.explaining.maker import make_explainer

__all__ = ["make_explainer"]
