"""Decision trees as flat arrays, and their outputs for many rows at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODE: Final = np.dtype("<i4")
FEATURE: Final = np.dtype("<i2")


@dataclass(frozen=True, slots=True)
class Trees:
    """All trees of a model, their nodes in a row; a parent stands before its children.

    Parameters
    ----------
    roots : array of int, shape (n_trees,)
        Node each tree begins at.
    feature : array of int, shape (n_nodes,)
        Input an inner node looks at; 0 of a leaf.
    number : array, shape (n_nodes,)
        Threshold of an inner node, output of a leaf.
    children : array of int, shape (n_nodes, 2)
        Where a row goes whose input is at most the threshold, and where it goes else. A leaf is its own child.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    number: Floats
    children: NDArray[np.int32]


def check(trees: Trees, n_features: int) -> None:
    """Whether a walk from any root ends at a leaf and looks at nothing that is not there.

    Raises
    ------
    ValueError
        It would not.
    """
    nodes = np.arange(len(trees.number))[:, None]
    if not (len(nodes) and len(trees.roots)):
        raise ValueError("there is no tree")
    if trees.roots.min() < 0 or trees.roots.max() >= len(nodes):
        raise ValueError("a root is no node")
    if trees.feature.min() < 0 or trees.feature.max() >= n_features:
        raise ValueError("a node looks at an input that is not there")
    leaf = (trees.children == nodes).all(axis=1)
    inner = trees.children[~leaf]
    if (inner <= nodes[~leaf]).any() or (inner >= len(nodes)).any():
        raise ValueError("a node's children do not come after it")
    if not np.isfinite(trees.number).all():
        raise ValueError("a threshold or an output is not finite")


def outputs(trees: Trees, inputs: Floats) -> Floats:
    """Output of each tree for each row.

    Parameters
    ----------
    trees : Trees
        As `check` lets pass.
    inputs : array, shape (n, n_features)
        No NaN. What of their precision counts is the caller's to say: see `as_forests_see`.

    Returns
    -------
    array, shape (n, n_trees)
    """
    flat = np.ascontiguousarray(inputs).ravel()
    first = (np.arange(len(inputs)) * inputs.shape[1])[:, None]
    children = trees.children.ravel()
    node = np.broadcast_to(trees.roots.astype(np.intp), (len(inputs), len(trees.roots)))
    while True:
        above = flat.take(trees.feature.take(node) + first) > trees.number.take(node)
        below = children.take(2 * node + above)
        if np.array_equal(below, node):
            return trees.number.take(node)
        node = below.astype(np.intp)


def as_forests_see(inputs: Floats) -> Floats:
    """Inputs rounded to float32, as scikit-learn's forests compare them; infinite beyond its range."""
    with np.errstate(over="ignore"):
        return np.asarray(inputs.astype(np.float32).astype(np.float64))
