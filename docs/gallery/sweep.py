"""
Searching for a learning rate
=============================

Optuna draws settings, `xnn.train` trains with them, and `xnn.sweeps.Pruning` ends what leads nowhere. On the command
line ``xnn-sweep`` does the same, with several processes, and survives kills.
"""

# %%
# An objective is a function of a trial: it asks for settings, trains, and returns a score. The score is the accuracy on
# images that were held out from the training set; with ``test=False`` no trial sees the test set.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import optuna

import xnn
from xnn.runs.run import resume
from xnn.sweeps import Pruning

folder = Path(tempfile.mkdtemp())


def objective(trial):
    """Return the accuracy on the held-out images."""
    settings = xnn.Settings(
        model="mlp",
        epochs=5,
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        hidden=trial.suggest_categorical("hidden", [16, 64]),
        validation=0.2,
        run_dir=str(folder / f"trial-{trial.number}"),
    )
    result = xnn.train(settings, callbacks=[Pruning(trial)], test=False)
    return result.history[-1]["validation_accuracy"]


# %%
# Twelve trials of five epochs, the hopeless ones of fewer.

optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
)
study.optimize(objective, n_trials=12)

for trial in study.trials:
    epochs = len(trial.intermediate_values)
    print(f"trial {trial.number:2}: {trial.params} {trial.state.name.lower()} after {epochs} epochs: {trial.value}")

# %%
# The winner meets the test set, once: its run is resumed, which only lacks its result.

winner = resume(folder / f"trial-{study.best_trial.number}")
print(f"{study.best_params}: {100 * winner.values['test_accuracy']:.1f} % of the test images")

# %%
# Each trial's accuracy after each of its epochs. Curves that end early were pruned.

figure, axes = plt.subplots(figsize=(7, 4))
for trial in study.trials:
    epochs = sorted(trial.intermediate_values)
    best = trial.number == study.best_trial.number
    axes.plot(
        epochs,
        [100 * trial.intermediate_values[epoch] for epoch in epochs],
        marker="o",
        color="#d9622b" if best else "#9dbfe0",
        zorder=3 if best else 2,
        label="the winner" if best else None,
    )
axes.set_xlabel("epoch")
axes.set_ylabel("validation accuracy (%)")
axes.legend()
plt.show()
