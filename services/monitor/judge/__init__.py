"""The judge of grey releases: pure statistics, from who got the bad requests to hold, promote or roll back."""
