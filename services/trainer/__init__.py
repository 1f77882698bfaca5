"""The trainer: how versions are made, judged, combined and explained."""
