"""The settings of models and trainings, as plain data. Loads no backend."""
