r"""Graph convolutions: a network of nodes, each of which hears its neighbours. No probability.

A graph of N nodes is given by its edges, (2, E), each of them once. All products are with sparse
matrices, in time and memory of the order of N + E. Kipf & Welling, Semi-Supervised Classification
with Graph Convolutional Networks, 2017, arXiv:1609.02907.
"""

import warnings

import torch
from torch import Tensor, nn


class SparseMatrix:
    """A sparse matrix, (n, m), that multiplies a dense one: `A @ x`, (n, D), differentiable in x.

    It is kept by rows and by columns, so that the gradient, A^T g, is as fast as the product. The
    product has the wider dtype of the values and of x.

    >>> A = SparseMatrix(torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([3.0, 1.0]), (2, 3))
    >>> A @ torch.tensor([[1.0], [2.0], [5.0]])
    tensor([[15.],
            [ 1.]])

    Args:
        rows, columns, values: of the entries, (nnz,). Entries in one place are added.
        shape: (n, m).
    """

    def __init__(self, rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]):
        self.shape = tuple(shape)
        self.by_rows = compressed(rows, columns, values, self.shape)
        self.by_columns = compressed(columns, rows, values, self.shape[::-1])

    @staticmethod
    def of(x: Tensor) -> "SparseMatrix":
        """The entries of a dense matrix, (n, m), that are not 0."""
        rows, columns = x.nonzero(as_tuple=True)
        return SparseMatrix(rows, columns, x[rows, columns], x.shape)

    def __matmul__(self, x: Tensor) -> Tensor:
        if x.dim() != 2 or len(x) != self.shape[1]:
            raise ValueError(
                f"a matrix of shape {self.shape} multiplies ({self.shape[1]}, D), got shape"
                f" {tuple(x.shape)}"
            )
        wide = torch.promote_types(self.by_rows.dtype, x.dtype)
        return Product.apply(self.by_rows.to(wide), self.by_columns.to(wide), x.to(wide))

    def dense(self) -> Tensor:
        """The matrix itself, (n, m)."""
        return self.by_rows.to_dense()

    def to(self, device: torch.device) -> "SparseMatrix":
        """The same on another device."""
        moved = object.__new__(SparseMatrix)
        moved.shape = self.shape
        moved.by_rows, moved.by_columns = self.by_rows.to(device), self.by_columns.to(device)
        return moved


class Product(torch.autograd.Function):
    """A x, with the gradient A^T g; torch's own sparse product sorts A anew at each backward pass."""

    @staticmethod
    def forward(context, by_rows, by_columns, x):
        context.by_columns = by_columns
        return by_rows @ x

    @staticmethod
    def backward(context, gradient):
        return None, None, context.by_columns @ gradient


def compressed(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A matrix of these entries in torch's format of compressed rows."""
    place, inverse = (rows * shape[1] + columns).unique(return_inverse=True)  # sorted
    summed = torch.zeros(len(place), dtype=values.dtype, device=values.device)
    summed.index_add_(0, inverse, values)
    starts = torch.arange(shape[0] + 1, device=rows.device) * shape[1]
    with warnings.catch_warnings():  # that the format is in beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            torch.searchsorted(place, starts),
            place % shape[1],
            summed,
            shape,
            check_invariants=False,
        )


def normalised_adjacency(edges: Tensor, nodes: int) -> SparseMatrix:
    r"""$$M = \tilde D^{-1/2} (A + I) \tilde D^{-1/2}, \quad \tilde d_i = 1 + \sum_j A_{ij}$$

    With its self-loop each node hears itself, and no degree is 0. The roots keep M symmetric, with
    eigenvalues of at most 1, so that many layers neither explode nor favour nodes of high degree.

    Args:
        edges: (2, E), each undirected edge once.
        nodes: N.
    """
    loops = torch.arange(nodes, device=edges.device)
    rows, columns = torch.cat([edges[0], edges[1], loops]), torch.cat([edges[1], edges[0], loops])
    root = torch.bincount(rows, minlength=nodes).to(torch.get_default_dtype()) ** -0.5
    return SparseMatrix(rows, columns, root[rows] * root[columns], (nodes, nodes))


class GraphConvolution(nn.Module):
    """M X W: each node's new features are a weighted mean over itself and its neighbours, X W.

    Args:
        i, o: features of each node before and after.
    """

    def __init__(self, i: int, o: int):
        super().__init__()
        self.in_features, self.out_features = i, o
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(i, o)))

    def forward(self, M: SparseMatrix, x: Tensor | SparseMatrix | None) -> Tensor:
        """(N, i) to (N, o). Without features, x = None, X is the identity: W has a row for each node.

        Raises:
            ValueError: if the features of x, or without them the nodes, are not i.
        """
        width = M.shape[1] if x is None else x.shape[-1]
        if width != self.in_features:
            what = "nodes, none of which has features" if x is None else "features of each node"
            raise ValueError(
                f"this graph convolution was made for {self.in_features} numbers, got {width} {what}"
            )
        return M @ (self.weight if x is None else x @ self.weight)


def messages(
    to: Tensor,
    of: Tensor,
    level: Tensor,
    shape: tuple[int, int],
    levels: int,
    stack: bool,
    symmetric: bool,
) -> SparseMatrix:
    r"""The matrix by which each receiver i adds what it hears from senders j, one kind for each level r
    of rating, from tables of the senders, one below another, (R m, D):

    $$h_{i,r} = \sum_{j \in N_{i,r}} \frac{1}{c_{ij}} w_{r,j}, \quad c_{ij} = |N_i| \text{ or }
      \sqrt{|N_i| |N_j|}$$

    N_i has all ratings of i, not those of one level.

    Args:
        to, of, level: receiver, sender and level, from 0, of each rating, (n,).
        shape: how many receivers, n, and senders, m, there are.
        levels: R.
        stack: keep the levels apart: R rows for each receiver, (n R, R m); else they are added, and
            the matrix is (n, R m).
        symmetric: the second form of c.
    """
    n, m = shape
    c = torch.bincount(to, minlength=n)[to].to(torch.get_default_dtype())
    if symmetric:
        c = (c * torch.bincount(of, minlength=m)[of]).sqrt()
    rows = to * levels + level if stack else to
    return SparseMatrix(rows, level * m + of, 1 / c, (n * levels if stack else n, levels * m))
