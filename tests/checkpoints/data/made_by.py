"""Write the files of this folder with Keras and flax: a model each, its input and its output.

pip install keras flax h5py, then python -m tests.checkpoints.data.made_by
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import flax
import flax.linen as nn
import jax
import keras
import numpy as np

HERE = Path(__file__).parent
SIZES = {"stacked": 2, "both-ways": 1}


def of_keras(name, x):
    """Save a model of Keras' whose last layer is a GRU."""
    layers = keras.layers
    made = [layers.GRU(5, return_sequences=True) for _ in range(SIZES[name])]
    if name == "both-ways":
        made = [layers.Bidirectional(one) for one in made]
    model = keras.Sequential([keras.Input((None, 4)), *made])
    random = np.random.default_rng(0)
    for one in model.weights:
        one.assign(random.normal(scale=0.5, size=one.shape))
    model.save(HERE / f"{name}.keras")
    np.savez(HERE / f"{name}.keras.npz", x=x, y=model.predict(x, verbose=0))


class Stacked(nn.Module):
    """Two layers of flax' GRUCell."""

    @nn.compact
    def __call__(self, x):
        x = nn.RNN(nn.GRUCell(5))(x)
        return nn.RNN(nn.GRUCell(5))(x)


def of_flax(x):
    """Save the parameters of a model of flax'."""
    model, key = Stacked(), jax.random.key(0)
    made = model.init(key, x)
    made = jax.tree.map(lambda one: one + 0.5 * jax.random.normal(key, one.shape), made)
    (HERE / "stacked.msgpack").write_bytes(flax.serialization.to_bytes(made))
    np.savez(HERE / "stacked.msgpack.npz", x=x, y=model.apply(made, x))


if __name__ == "__main__":
    x = np.random.default_rng(1).normal(size=(3, 6, 4)).astype("float32")
    for each in SIZES:
        of_keras(each, x)
    of_flax(x)
