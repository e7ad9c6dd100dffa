"""The estimator: trains, answers, saves and loads."""
