"""The estimator: trains, predicts, evaluates, saves and loads a classifier."""
