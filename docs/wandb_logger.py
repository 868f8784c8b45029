"""A callback that sends each epoch to Weights & Biases."""

import wandb

import xnn


class WandbLogger(xnn.training.Callback):
    """Sends the history's rows to a run of Weights & Biases."""

    def __init__(self, **options):
        self.options = options

    def fit_begin(self, trainer):
        """Begin a run."""
        self.run = wandb.init(**self.options)

    def epoch_end(self, trainer, row):
        """Send the epoch's row."""
        self.run.log(dict(row), step=trainer.step)

    def fit_end(self, trainer):
        """End the run."""
        self.run.finish()


settings = xnn.Settings(model="mlp", epochs=2)
logger = WandbLogger(project="digits", config=settings.to_dict())
print(xnn.train(settings, callbacks=[logger]).history.table())
