"""Bounded summaries of tensors seen in live traffic: quantiles of numbers, frequent categories, counts of odd values.

Memory at most, with F features (of all tensors of all versions) of which C hold categories, and W windows kept (2):

    F * (W * 3.0 kB  +  1.0 kB  +  1.5 kB)  +  C * W * 150 kB

The first term is a KLL sketch with k = 200 a feature and window (measured), the second the 256 rows that wait to be
sketched, the third a reference, the counts against it in two windows, what was found, and the name
(`services.monitor.drift`); the last is 768 categories of 128 characters. The number of features is capped three times:
1,024 a tensor, 8,192 a version, and `max_features` over all, where the version not seen for longest makes room.
With the defaults that is 280 MB; a version with 795 features takes 7 MB.
"""

from __future__ import annotations

from services.monitor.sketches.categories import CategorySketch
from services.monitor.sketches.layout import Layout, Role
from services.monitor.sketches.numbers import NumberSketches
from services.monitor.sketches.tensor import TensorSketch

__all__ = ["CategorySketch", "Layout", "NumberSketches", "Role", "TensorSketch"]
