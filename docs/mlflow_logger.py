"""A callback that writes each epoch to MLflow."""

import mlflow

import xnn


class MLflowLogger(xnn.training.Callback):
    """Writes parameters and the history's rows to a run of MLflow."""

    def __init__(self, parameters):
        self.parameters = parameters

    def fit_begin(self, trainer):
        """Begin a run, and write what it runs with."""
        mlflow.start_run()
        mlflow.log_params(self.parameters)

    def epoch_end(self, trainer, row):
        """Write the epoch's values."""
        known = {name: value for name, value in row.items() if value is not None}
        mlflow.log_metrics(known, step=trainer.step)

    def fit_end(self, trainer):
        """End the run."""
        mlflow.end_run()


settings = xnn.Settings(model="mlp", epochs=2)
logger = MLflowLogger(settings.to_dict())
print(xnn.train(settings, callbacks=[logger]).history.table())
