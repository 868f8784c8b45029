"""What every rank of a real MPI world checks; `test_mpi_world` starts it by ``mpiexec``."""

import sys
import threading

import numpy as np

from xnn import data, distributed, nn, optim
from xnn.distributed.world import CALLS, GRADIENTS
from xnn.training import Trainer

SHAPE, CLASSES, INPUTS = (8, 6, 2), 3, 60


def muon(model):
    hidden, rest = optim.split(model, optim.hidden_matrices(model))
    return optim.Groups(optim.Muon(hidden, lr=0.02), optim.SGD(rest, lr=0.1, momentum=0.9))


def check_messages(world):
    rank, size = world.rank, world.size
    assert (world.local_rank, world.local_size, world.host, world.hosts) == (rank, size, 0, 1)
    for dtype in (np.float32, np.float64, np.int64):
        gathered = world.gathered(np.full((2, 3), rank, dtype))
        assert gathered.dtype == dtype
        np.testing.assert_array_equal(gathered[:, 1, 2], np.arange(size))
    # To rank s go s + 1 numbers that say who sent them; of a rank without numbers, nothing comes.
    counts = np.arange(size) + 1
    received = world.exchanged(np.repeat(10 * rank + np.arange(size, dtype=np.float32), counts), counts.tolist())
    np.testing.assert_array_equal(received, np.repeat(10 * np.arange(size) + rank, rank + 1).reshape(size, -1))
    # Long parts go straight to each other, of any length, and the second time the memory has other numbers in it.
    for counts in ([0] * (size - 1) + [2**14 * size], [2**14 * (2 * s + 1) for s in range(size)]):
        for number in (1, 2):
            own = number * (10 * rank + np.repeat(np.arange(size, dtype=np.float32), counts))
            received = world.exchanged(own, counts)
            assert received.shape == (size, counts[rank])
            np.testing.assert_array_equal(received, number * (10.0 * np.arange(size)[:, None] + rank) + 0 * received)
    lengths = [3 * (s % 2) for s in range(size)]
    joined = world.joined(np.full(lengths[rank], rank, np.float64), lengths)
    np.testing.assert_array_equal(joined, np.repeat(np.arange(size), lengths))
    assert world.broadcast(b"rank %d" % rank) == b"rank 0"
    assert world.broadcast(b"" if rank == 0 else b"long") == b""
    assert world.agrees(b"same")
    assert size == 1 or not world.agrees(b"odd" if rank == size - 1 else b"even")
    world.barrier()


def check_sums(world):
    for length in (0, 1, 1000, 20_011, 100_003):
        vectors = np.random.default_rng(length).normal(size=(world.size, length)).astype(np.float32)
        expected = vectors[0].copy()
        for vector in vectors[1:]:
            expected += vector
        found = world.sum(vectors[world.rank])
        np.testing.assert_array_equal(found, expected)
        # The second time the memory that is kept has other numbers in it.
        for vector in (vectors[world.rank].copy(), vectors[world.rank].copy()):
            world.add_up(vector, GRADIENTS)
            np.testing.assert_array_equal(vector, expected)


def check_channels(world):
    """Two threads, each with a channel of its own, and in an order that differs from rank to rank."""
    found = {}

    def work(channel):
        found[channel] = [world.sum(np.full(5000, float(i)), channel)[0] for i in range(20)]

    threads = [threading.Thread(target=work, args=(channel,)) for channel in (CALLS, GRADIENTS)]
    for thread in threads if world.rank % 2 else reversed(threads):
        thread.start()
    for thread in threads:
        thread.join()
    assert found[CALLS] == found[GRADIENTS] == [float(i * world.size) for i in range(20)]


def trained(world, sync_batch_norm=True, **options):
    """Train on batches of which the last has fewer images than there are ranks; return the whole state."""
    random = np.random.default_rng(3)
    split = data.Split(random.integers(0, 256, (11, *SHAPE), dtype=np.uint8), np.arange(11) % CLASSES)
    layers = [nn.Conv2d(6, 3), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(7), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(CLASSES)).build(SHAPE, backend="numpy", seed=1, dtype="float64")
    batches = data.Batches(
        split, 5, backend=model.backend, dtype="float64", normalization=data.Normalization.of(split), seed=2,
        augment=data.Compose((data.AlternatingFlip(), data.RandomCrop(1), data.ColourJitter())),
    )  # fmt: skip
    average = optim.ExponentialMovingAverage(model, 0.9)
    trainer = Trainer(model, muon(model), average=average, world=world, sync_batch_norm=sync_batch_norm, **options)
    trainer.fit(batches, batches, epochs=2)
    return trainer.state_dict()


def check_training(world):
    for options in ({}, {"clip_norm": 0.1, "penalty": nn.L2Penalty(1e-3)}, {"sync_batch_norm": False}):
        arrays, info = trained(world, **options)
        everything = b"".join(array.tobytes() for _, array in sorted(arrays.items()))
        assert world.agrees(everything), "the ranks have different states"
        told = [[row[name] for name in ("train_loss", "validation_loss")] for row in info["history"]]
        assert world.agrees(repr(told).encode()), f"the ranks have different losses: {told}"
        if "sync_batch_norm" not in options and world.rank == 0:
            expected, expected_info = trained(None, **options)
            for name, array in expected.items():
                np.testing.assert_allclose(arrays[name], array, rtol=1e-6, atol=1e-6, err_msg=name)
            for row, wanted in zip(info["history"], expected_info["history"], strict=True):
                np.testing.assert_allclose(row["train_loss"], wanted["train_loss"], rtol=1e-6)
                assert row["validation_accuracy"] == wanted["validation_accuracy"]


def check_bytes(world):
    """A step of Muon sends at most 2.1 times the parameters, also with clipping."""
    model = nn.Sequential(nn.Linear(300), nn.Tanh(), nn.Linear(300), nn.Tanh(), nn.Linear(300), nn.Linear(5))
    model.build((INPUTS,), backend="numpy", seed=2)
    trainer, sent = Trainer(model, muon(model), world=world, clip_norm=0.1), []
    for steps in (1, 3):
        before, images = world.sent, steps * world.size
        trainer.fit((np.ones((images, INPUTS)), np.arange(images) % 5), epochs=1, batch_size=world.size)
        sent.append(world.sent - before)
    assert 0 < (sent[1] - sent[0]) / 2 <= 2.1 * 4 * model.parameters.flat.size


def main():
    world = distributed.mpi()
    assert distributed.mpi().rank == world.rank, "a second world is another one"
    assert world.size == int(sys.argv[1]), f"there are {world.size} ranks"
    if world.size > 4:  # more than there are cores: messages are slow, and training has all kinds of them
        checks = [check_training]
    else:
        checks = [check_messages, check_sums, check_channels, check_training, check_bytes]
    for check in checks:
        check(world)
    world.barrier()
    if world.rank == 0:
        print("all is well")


if __name__ == "__main__":
    main()
