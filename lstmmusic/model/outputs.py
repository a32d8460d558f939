"""Define the two outputs: the cost of a row of notes, its derivative, and sampling.

``Y`` (..., N) is what the layers send to the notes, ``k`` (..., N) the row that
follows, all of it in the roll's order of notes.  In the *independent* output each note
has its own probability σ(Y_n).  In the *joint* one a step's notes have an order, and
each is predicted from those before it, too: a conditional neural autoregressive
distribution estimator (H. Larochelle, I. Murray 2011; N. Boulanger-Lewandowski,
Y. Bengio, P. Vincent 2012, arXiv:1206.6392).  Its D units u get A (..., D) from the
layers; ``Z`` is Y and, behind it, A.

With *restruck* columns the first half of a row says which notes sound, the second half
which of them are struck again.  ``x`` (..., N) is the row before k.
"""

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.scan import scan

from lstmmusic.model.ops import roll_dot, roll_outer, total, with_kernel

ORDERS = ("up", "down")


def cross_entropy(Y, k):
    """Return −k log y − (1−k) log(1−y) for y = σ(Y), and dY = y − k.

    Both are taken from Y in a form that neither overflows nor loses digits; no
    guard inside the logarithm, so cost and derivative belong together (D8).
    """
    cost = pt.softplus(Y) - k * Y
    dY = pt.sigmoid(Y) - k
    return cost, dY


def squared_error(Y, k):
    """Return ½ (y − k)² for y = σ(Y), and dY = (y − k) y (1 − y)."""
    y = pt.sigmoid(Y)
    cost = 0.5 * (y - k) ** 2
    dY = (y - k) * y * (1 - y)
    return cost, dY


COSTS = {"cross-entropy": cross_entropy, "squared-error": squared_error}


class Joint(NamedTuple):
    """Hold the joint output's own weights; U and V are None without units (D = 0).

    U and V are in the roll's order of notes, L in that of drawing.
    """

    L: pt.TensorVariable  # (N, N), strictly lower: from the notes before to s
    U: pt.TensorVariable | None = None  # (N, D) from u to s
    V: pt.TensorVariable | None = None  # (N, D) from the notes before to u


def halves(a):
    """Split rows (..., N) into sounding and restruck halves (..., N/2)."""
    half = a.type.shape[-1] // 2
    return a[..., :half], a[..., half:]


class Independent(NamedTuple):
    """Predict each note independently, with probability σ(Y_n)."""

    cost: str  # of `COSTS`
    restruck: bool = False

    def predict(self, Z, x, k, weights):
        """Return the notes' probabilities (..., N), and their nats for k."""
        return pt.sigmoid(Z), cross_entropy(Z, k)[0]

    def cost_of(self, Z, x, k, weights, loss_weight):
        """Return the cost of every element (..., N), dZ, and no derivative of weights.

        ``loss_weight`` (...) multiplies the derivatives, not the cost.
        """
        cost, dY = COSTS[self.cost](Z, k)
        return cost, dY * loss_weight[..., None], None

    def chord(self, Z, bound, weights):
        """Return the notes (..., N) with Y above their bound, and Y."""
        return Z > bound, Z

    def log_odds(self, Z, k, note, weights):
        """Return Y_n (M,) of one note a row, its derivative by Z, and none by k.

        ``note`` (M, N) is 1 in the note's column, 0 elsewhere; see `JointOutput`.
        """
        return total(note * Z, axis=1), note, pt.zeros_like(k)


class JointOutput(NamedTuple):
    """Predict each note from the network and from the notes before it.

    ::

        a_n = A + Σ_{m<n} k_m V_m
        u_n = σ(a_n)
        s_n = Y_n + U_n · u_n + Σ_{m<n} L_nm k_m
        y_n = σ(s_n) = P(k_n = 1 | the past, k_1 … k_{n−1})

    With ``restruck``, n goes through the first half of the columns, then the second,
    each in the order.  M (..., N) is 1 where a cell may be 1, otherwise 0; k and y then
    stand for M ∘ k and M ∘ y.
    """

    order: str  # of `ORDERS`: the lowest note first, or the highest
    restruck: bool = False

    def possible(self, x, k):
        """Return M, or None without restruck columns, where each cell may be 1.

        A note is struck again only where it sounds in x, the row before, and in k.
        """
        if not self.restruck:
            return None
        before, now = halves(x)[0], halves(k)[0]
        again = pt.cast(before > 0.5, k.dtype) * now
        return pt.concatenate([pt.ones_like(now), again], axis=-1)

    def predict(self, Z, x, k, weights):
        """Return y (..., N), given the notes of k before each, and the nats for k."""
        M = self.possible(x, k)
        k = masked(k, M)
        s = self.logits(Z, k, weights)
        return masked(pt.sigmoid(s), M), masked(cross_entropy(s, k)[0], M)

    def logits(self, Z, k, weights):
        """Return s (..., N)."""
        Y, A, U, V = self.split(Z, weights)
        k_ordered = as_matrix(self.ordered(k))
        no_bias = pt.zeros((k_ordered.type.shape[-1],), dtype=Y.dtype)
        of_units = Y if U is None else Y + joint_dot(A, k_ordered, U, V)
        s = roll_dot(k_ordered, weights.L.T, no_bias, of_units)
        return self.ordered(with_axes_of(k, s))

    def cost_of(self, Z, x, k, weights, loss_weight):
        """Return the cost of every element (..., N), dZ, and the `Joint` of dL, dU, dV.

        ::

            cost = Σ_n M_n (softplus(s_n) − k_n s_n) = −log P(k | the past)
            ds_n = w M_n (y_n − k_n)    dY = ds
            dL_nm = ds_n k_m   (m < n)  dU, dV, dA: see `joint_outer`

        with w the ``loss_weight`` (...), and k for M ∘ k.
        """
        M = self.possible(x, k)
        k = masked(k, M)
        cost, ds = cross_entropy(self.logits(Z, k, weights), k)
        cost, ds = masked(cost, M), masked(ds, M) * loss_weight[..., None]
        _, A, U, V = self.split(Z, weights)
        dz, k_ordered = as_matrix(self.ordered(ds)), as_matrix(self.ordered(k))
        dL = pt.tril(roll_outer(k_ordered, dz).T, -1)
        if U is None:
            return cost, ds, Joint(dL)
        dA, dU, dV = joint_outer(dz, A, k_ordered, U, V)
        dA = dA.reshape((*k.shape[:-1], U.type.shape[1]))
        dZ = pt.concatenate([ds, dA], axis=-1)
        dU, dV = (
            self.ordered(pt.specify_shape(dW, U.type.shape).T).T for dW in (dU, dV)
        )
        return cost, dZ, Joint(dL, dU, dV)

    def chord(self, Z, bound, weights):
        """Draw the notes in order; return those with s above their bound, and s.

        (..., N) each, or (..., N/2) with restruck columns: `strikes` draws these.  Each
        s has the notes that were drawn before its own.
        """
        Y, A, U, V = self.split(Z, weights)
        n = bound.type.shape[-1]
        return self.draw(bound, Y[:, :n], A, weights.L[:n, :n], U, V)

    def strikes(self, Z, k, bound, weights):
        """Draw what is struck again, given what sounds, k (..., N/2), as `chord` does.

        ::

            a_n = (A + Σ_m k_m V_m) + Σ of the notes struck again before n
            s_n = (Y_n + Σ_m L_nm k_m) + U_n · u_n + Σ of the same
        """
        Y, A, U, V = self.split(Z, weights)
        n, k = weights.L.type.shape[0] // 2, as_matrix(self.turned(k))
        Y = roll_dot(k, weights.L[n:, :n].T, pt.zeros((n,), Y.dtype), Y[:, n:])
        if U is not None:
            no_bias = pt.zeros((V.type.shape[1],), Y.dtype)
            A, U, V = roll_dot(k, V[:n], no_bias, A), U[n:], V[n:]
        return self.draw(bound, Y, A, weights.L[n:, n:], U, V)

    def draw(self, bound, Y, A, L, U, V):
        """Return the notes whose s is above their bound, and s, in the roll's order."""
        n = L.type.shape[0]
        units = [] if U is None else [A, U[:n], V[:n]]
        drawn = joint_draw(Y, as_matrix(self.turned(bound)), L, *units)
        k, s = (self.turned(with_axes_of(bound, a)) for a in drawn)
        return k > 0, s

    def turned(self, a):
        """Reverse the notes of one half if they are drawn downwards."""
        return a if self.order == "up" else a[..., ::-1]

    def log_odds(self, Z, k, note, weights):
        """Return s_n of one note a row, and its derivatives by Z and by k.

        ::

            ∂s_n/∂Y_n = 1       ∂s_n/∂A   = U_n ∘ u_n ∘ (1 − u_n)
                                ∂s_n/∂k_m = L_nm + V_m · ∂s_n/∂A      (m < n)

        Z (M, N + D) and k (M, N) may hold any numbers; ``note`` (M, N) is 1 in the
        note's column, 0 elsewhere.  Returns (M,), (M, N + D) and (M, N).
        """
        N = weights.L.type.shape[0]
        below = pt.as_tensor(np.tri(N, k=-1, dtype=Z.dtype))  # m < n in drawing order
        L, below = (self.ordered(self.ordered(a).T).T for a in (weights.L, below))
        L_n, is_before = note.dot(L), note.dot(below)
        before = is_before * k
        s = total(note * Z[:, :N] + L_n * before, axis=1)
        if weights.U is None:
            return s, note, L_n
        U_n, u = note.dot(weights.U), pt.sigmoid(Z[:, N:] + before.dot(weights.V))
        dA = U_n * u * (1 - u)
        dk = L_n + is_before * dA.dot(weights.V.T)
        return s + total(U_n * u, axis=1), pt.concatenate([note, dA], axis=1), dk

    def ordered(self, a):
        """Bring notes (..., N) to the order of drawing, or back."""
        if not self.restruck:
            return self.turned(a)
        return pt.concatenate([self.turned(half) for half in halves(a)], axis=-1)

    def split(self, Z, weights):
        """Return Y (M, N), A (M, D) and U, V (N, D), in the order of drawing."""
        if weights.U is None:
            return as_matrix(self.ordered(Z)), None, None, None
        N = weights.U.type.shape[0]
        U, V = (self.ordered(W.T).T for W in (weights.U, weights.V))
        return as_matrix(self.ordered(Z[..., :N])), as_matrix(Z[..., N:]), U, V


def make_output(output, cost, order, restruck):
    """Return the output of that name: 'independent' or 'joint'."""
    return JointOutput(order, restruck) if output == "joint" else Independent(cost)


def masked(a, mask):
    """Return a where a mask of zeros and ones is 1, or all of it without a mask."""
    return a if mask is None else a * mask


@with_kernel(1)
def joint_dot(A, k, U, V):
    """Return z_n = U_n · u_n, (M, N), one note after another.

    Of A (M, D), k (M, N), U and V (N, D), in the order of drawing.
    """

    def at_note(k_n, U_n, V_n, a):
        z_n = pt.sigmoid(a).dot(U_n)
        return a + k_n[:, None] * V_n, z_n

    _, z = scan(
        at_note,
        sequences=[k.T, U, V],
        outputs_info=[A, None],
        return_updates=False,
        name="joint_dot",
    )
    return [z.T]


@with_kernel(1, 3, 4)
def joint_outer(dz, A, k, U, V):
    """Return dA (M, D), dU and dV (N, D) for the dz (M, N) of `joint_dot`.

    ::

        da_n = dz_n U_n ∘ u_n ∘ (1 − u_n)       dU_n = Σ dz_n u_n
        dA   = Σ_n da_n                         dV_m = Σ k_m Σ_{n>m} da_n

    The sums without an index go over rows.  Σ_{n>m} da_n is dA without its sum so far.
    """

    def at_note(dz_n, k_n, U_n, V_n, a, so_far):
        u = pt.sigmoid(a)
        so_far = so_far + dz_n[:, None] * U_n * u * (1 - u)
        a = a + k_n[:, None] * V_n
        return a, so_far, dz_n.dot(u), k_n.dot(so_far)

    _, so_far, dU, missing = scan(
        at_note,
        sequences=[dz.T, k.T, U, V],
        outputs_info=[A, pt.zeros_like(A), None, None],
        return_updates=False,
        name="joint_outer",
    )
    dA = so_far[-1]
    dV = k.T.dot(dA) - missing
    return [dA, dU, pt.set_subtensor(dV[-1], 0)]  # no note comes after the last


@with_kernel(0, 0)
def joint_draw(Y, bound, L, A=None, U=None, V=None):
    """Return the notes drawn (M, N), 0 or 1, and s: see `JointOutput.chord`."""

    def at_note(Y_n, bound_n, n, L_n, *args):
        *of_units, k = args
        s_n = Y_n + k.dot(L_n)
        if of_units:
            U_n, V_n, a = of_units
            s_n = s_n + pt.sigmoid(a).dot(U_n)
        k_n = pt.cast(s_n > bound_n, k.dtype)
        after = [a + k_n[:, None] * V_n] if of_units else []
        return *after, pt.set_subtensor(k[:, n], k_n), s_n

    units = A is not None
    *_, k, s = scan(
        at_note,
        sequences=[Y.T, bound.T, pt.arange(L.type.shape[0]), L, *([U, V] * units)],
        outputs_info=[*([A] * units), pt.zeros_like(Y), None],
        return_updates=False,
        name="joint_draw",
    )
    return [k[-1], s.T]


def as_matrix(a):
    """Return an array (..., Q) as (M, Q)."""
    return a if a.ndim == 2 else a.reshape((-1, a.type.shape[-1] or a.shape[-1]))


def with_axes_of(b, a):
    """Return an array (M, Q) as (..., Q), the axes those of b."""
    return a if b.ndim == 2 else a.reshape(b.shape)
