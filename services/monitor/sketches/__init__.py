"""Bounded summaries of tensors seen in live traffic: quantiles of numbers, frequent categories, counts of odd values.

Memory, with F features (of all tensors of a version) of which C hold categories, W windows kept (2) and k = 200:

    F * (W * 2.6 kB  +  256 * 4 B  +  0.4 kB)  +  C * W * 64 kB

the first term being a KLL sketch a feature and window, the second the rows that wait to be sketched, the third the
counts of odd values and of the test in `services.monitor.drift`. The number of features is capped twice: 1,024 a
tensor, and `max_features` over all versions, where the version that was not looked at for longest makes room.
"""

from __future__ import annotations

from services.monitor.sketches.categories import CategorySketch
from services.monitor.sketches.layout import Layout, Role
from services.monitor.sketches.numbers import NumberSketches
from services.monitor.sketches.tensor import TensorSketch

__all__ = ["CategorySketch", "Layout", "NumberSketches", "Role", "TensorSketch"]
