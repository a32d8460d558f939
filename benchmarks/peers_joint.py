"""Write the joint output in PyTorch, dense, in three forms.

Each form takes A (M, D), the rows k (M, N) of notes and U, V (N, D), and returns
``z_n = U_n · σ(A + Σ_{m<n} k_m V_m)``, (M, N); PyTorch finds its derivative.
"""

from functools import partial

PIECE = 64  # rows


def cumsum(A, k, U, V):
    """Sum all ``k_m V_m`` up in one array (M, N, D)."""
    import torch

    terms = torch.cat([A[:, None], k[:, :-1, None] * V[:-1]], 1)
    return (torch.sigmoid(terms.cumsum(1)) * U).sum(-1)


def loop(A, k, U, V):
    """Go through the notes, with arrays (M, D)."""
    import torch

    a, z = A, []
    for k_n, U_n, V_n in zip(k.T, U, V, strict=True):
        z.append(torch.sigmoid(a) @ U_n)
        a = torch.addcmul(a, k_n[:, None], V_n)
    return torch.stack(z, 1)


def pieces(A, k, U, V, form=cumsum):
    """Take a few rows at a time, so that a piece's array stays in the cache."""
    import torch

    parts = zip(A.split(PIECE), k.split(PIECE), strict=True)
    return torch.cat([form(A_rows, k_rows, U, V) for A_rows, k_rows in parts])


FORMS = {"cumsum": cumsum, "loop": loop, "pieces": pieces}
NAMES = [name + how for name in FORMS for how in ("", "-compiled")]


def form_of(name):
    """Return the form of a name of `NAMES`; of `pieces` each piece is compiled.

    A loop over pieces would be unrolled into one program of many thousand lines.
    """
    import torch

    form, _, how = name.partition("-")
    if not how:
        return FORMS[form]
    if form == "pieces":
        return partial(pieces, form=torch.compile(cumsum, dynamic=True))
    return torch.compile(FORMS[form], dynamic=True)


def joint_stack(N, H, D, form, dropout=0.0):
    """Return `peers.torch_stack` with the joint output: of x and k its logits s."""
    import torch
    from peers import torch_stack

    class Joint(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = torch_stack(N, H, N + D, dropout)
            self.U = torch.nn.Parameter(0.1 * torch.randn(N, D))
            self.V = torch.nn.Parameter(0.1 * torch.randn(N, D))
            self.L = torch.nn.Parameter(torch.zeros(N, N))

        def forward(self, x, k):
            Z = self.stack(x).flatten(0, -2)
            Y, A, rows = Z[:, :N], Z[:, N:], k.reshape(-1, N)
            s = Y + form(A, rows, self.U, self.V) + rows @ self.L.tril(-1).T
            return s.reshape(k.shape)

    return Joint()


def torch_joint(x, k, H, name, D=128):
    """Return the update of `joint_stack`, as `peers.torch_fused` makes it.

    ``name`` is one of `NAMES`.
    """
    import torch
    from peers import torch_update

    network = joint_stack(x.shape[2], H, D, form_of(name))
    return torch_update(torch, network, x, k, "cpu", joint=True)
