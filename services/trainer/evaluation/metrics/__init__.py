"""The metrics of each task. `catalogue` knows them by name; `metric` has the three kinds of interval they come with."""
