"""Conditions that a version has to meet before it may be released.

    accuracy >= 0.95                              point accuracy >= 95%
    accuracy no worse than stable by 0.01         log_loss better than stable
    slice(label) accuracy >= 0.8                  slice(country="DE") accuracy no worse than stable by 0.02
    ece <= 0.05

A gate looks at the end of the interval that is on the safe side: `>=` at the lower end, `<=` at the upper one. So few
rows never pass what many rows would not: the chance that a gate lets through what it should not is at most half of
1 - level (2.5 % for the usual 95 % intervals). With `point` it looks at the measured value instead, and luck decides.

`slice(column)` asks it of each slice of the column. All have to pass on their own, so their intervals are not widened
for their number: to pass wrongly, even the worst slice would have to be lucky (an intersection-union test; Berger,
Multiparameter Hypothesis Testing and Acceptance Sampling, Technometrics 24 (1982), 295-300).

Where no version is stable yet there is nothing to be worse than: such gates do not apply. Where one is and could not be
asked the same, they fail. `parse` reads gates, `decide` answers them.
"""
