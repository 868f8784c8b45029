"""Train a small network on the digits, first one step by hand, then with the trainer."""

import xnn
from xnn import data, nn, optim
from xnn import functional as F

backend = xnn.backend("numpy")
digits = data.load("digits")
options = {"backend": backend, "normalization": data.Normalization.of(digits.train)}
train = data.Batches(digits.train, batch_size=64, seed=0, **options)
test = data.Batches(digits.test, batch_size=256, shuffle=False, **options)

model = nn.Sequential(
    nn.Conv2d(16, 3, padding="same"), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(10),
)  # fmt: skip
model.build(digits.image_shape, backend=backend, seed=0)  # input sizes are inferred
print(model.summary())
optimizer = optim.SGD(model, lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)

x, labels = next(train.epoch(0))
logits, pullback = model.forward(x, train=True)
loss, loss_pullback = F.softmax_cross_entropy(logits, labels, label_smoothing=0.1)
pullback(loss_pullback(), input_gradient=False)  # fills the gradients
optimizer.step()

trainer = xnn.Trainer(model, optimizer)
history = trainer.fit(train, test, epochs=5)
print(history.table())
print(trainer.evaluate(test))
