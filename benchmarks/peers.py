"""Make one training update of a three-layer LSTM, in this library and in others.

Each function takes inputs and targets x, k (T, B, N) and H, and returns a function
without arguments that makes an update (forward, backward, clip, RMSprop) and returns
the cost.
"""

import numpy as np

RATE, EPSILON, CLIP = 1e-4, 1e-5, 30.0


def our_functions(H, N, **where):
    """Return RNN4Music's compiled functions, and the settings of an update."""
    from lstmmusic import RNN4Music
    from lstmmusic.model.optimizers import Settings

    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), RATE)
    functions = RNN4Music(H, H, H, N, **rates, seed=0, **where)._functions
    numbers = [RATE] * 4 + [EPSILON, CLIP, np.inf, 0.0]
    return functions, Settings(*np.array(numbers, dtype=np.float32))


def ours(x, k, H, **where):
    """Return RNN4Music's compiled update, as `train` calls it."""
    from lstmmusic.data.batches import mean_over_tunes

    functions, settings = our_functions(H, x.shape[2], **where)
    minibatch = mean_over_tunes(x, k)

    def update():
        return functions.step(minibatch, (), settings)

    update()  # `backend.prepare` must configure JAX before another peer uses it
    return update


def torch_update(torch, network, x, k, device, joint=False):
    """Return the update of a torch module: BCE, value clip, RMSprop.

    On a GPU each update transfers the minibatch, and does not wait for the cost.  A
    ``joint`` module takes the targets, too.
    """
    x, k = torch.from_numpy(x), torch.from_numpy(k)
    network = network.to(device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=RATE, alpha=0.9)
    cost_of = torch.nn.functional.binary_cross_entropy_with_logits

    def update():
        optimizer.zero_grad()
        rows, wanted = x.to(device), k.to(device)
        logits = network(rows, wanted) if joint else network(rows)
        cost = cost_of(logits, wanted, reduction="sum") / x.shape[1]
        cost.backward()
        torch.nn.utils.clip_grad_value_(network.parameters(), CLIP)
        optimizer.step()
        return cost.item() if device == "cpu" else cost.detach()

    return update


def torch_fused(x, k, H, device="cpu"):
    """Return the update of three nn.LSTM without peepholes, each fed [x, h below]."""
    import torch

    return torch_update(torch, torch_stack(x.shape[2], H), x, k, device)


def torch_stack(N, H, outputs=None, dropout=0.0):
    """Return three nn.LSTM, each fed [x, h below], and a Linear of all three.

    It has N ``outputs``, or as many as are given.  What leaves a layer upwards has
    ``dropout``.
    """
    import torch

    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [N, N + H, N + H]
            self.layers = torch.nn.ModuleList(torch.nn.LSTM(s, H) for s in sizes)
            self.output = torch.nn.Linear(3 * H, outputs or N)
            self.dropped = torch.nn.Dropout(dropout) if dropout else torch.nn.Identity()

        def forward(self, x):
            h = []
            for layer in self.layers:
                below = torch.cat([x, h[-1]], -1) if h else x
                h.append(self.dropped(layer(below)[0]))
            return self.output(torch.cat(h, -1))

    return Stack()


def torch_peephole(x, k, H, device="cpu", compiled=False):
    """Return the update of the peephole layer written out in PyTorch, step by step."""
    import torch

    N = x.shape[2]

    class Layer(torch.nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.input = torch.nn.Linear(inputs, 4 * H)
            self.recurrent = torch.nn.Linear(H, 4 * H, bias=False)
            self.peephole = torch.nn.Parameter(0.1 * torch.randn(3, H))

        def forward(self, x):
            h = c = x.new_zeros(x.shape[1], H)
            outputs = []
            w_i, w_f, w_o = self.peephole
            for a in self.input(x):
                i, f, g, o = (a + self.recurrent(h)).chunk(4, -1)
                i, f = torch.sigmoid(i + w_i * c), torch.sigmoid(f + w_f * c)
                c = f * c + i * torch.tanh(g)
                h = torch.sigmoid(o + w_o * c) * torch.tanh(c)
                outputs.append(h)
            return torch.stack(outputs)

    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(map(Layer, [N, N + H, N + H]))
            self.output = torch.nn.Linear(3 * H, N)

        def forward(self, x):
            h = []
            for layer in self.layers:
                h.append(layer(torch.cat([x, h[-1]], -1) if h else x))
            return self.output(torch.cat(h, -1))

    network = torch.compile(Stack()) if compiled else Stack()
    return torch_update(torch, network, x, k, device)


def floor(x, k, H, rolls=True):
    """Return the matrix products of one update, NumPy with OpenBLAS, no copies.

    k (T, B, M) is as wide as what leaves the layers; ``rolls``: with those of the roll.
    """
    T, B, N = x.shape
    M = k.shape[2]
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    W_x, W_h, W_y = normal(N, 4 * H), normal(H, 4 * H), normal(H, M)
    rows, h, da, Y = x.reshape(T * B, N), normal(T * B, H), normal(T * B, 4 * H), k
    Y = Y.reshape(T * B, M)
    out_a, out_h, out_y = np.empty_like(da), np.empty_like(h), np.empty_like(Y)
    step_h, step_a = h[:B], da[:B]
    out_sa, out_sh = np.empty((B, 4 * H), np.float32), np.empty((B, H), np.float32)
    out_Wx, out_Wh, out_Wy = map(np.empty_like, (W_x, W_h, W_y))

    def update():
        for n in range(3):
            if rolls:
                np.matmul(rows, W_x, out=out_a)
                np.matmul(rows.T, da, out=out_Wx)
            np.matmul(h.T, da, out=out_Wh)
            np.matmul(h, W_y, out=out_y)
            np.matmul(Y, W_y.T, out=out_h)
            np.matmul(h.T, Y, out=out_Wy)
            if n:
                np.matmul(h, W_h, out=out_a)
                np.matmul(da, W_h.T, out=out_h)
                np.matmul(h.T, da, out=out_Wh)
            for _ in range(T):
                np.matmul(step_h, W_h, out=out_sa)
                np.matmul(step_a, W_h.T, out=out_sh)
        return 0.0

    return update


def equinox(x, k, H):
    """Return the update of equinox's LSTMCell, with jax.grad and optax's RMSprop."""
    import equinox as eqx
    import jax
    import optax

    N = x.shape[2]
    keys = jax.random.split(jax.random.key(0), 4)
    network = (
        [eqx.nn.LSTMCell(N + H if n else N, H, key=keys[n]) for n in range(3)],
        eqx.nn.Linear(3 * H, N, key=keys[3]),
    )

    def cost(network, x, k):
        Y = jax.vmap(equinox_outputs, in_axes=(None, 1), out_axes=1)(network, x)
        return optax.sigmoid_binary_cross_entropy(Y, k).sum() / x.shape[1]

    optimizer = optax.chain(optax.clip(CLIP), optax.rmsprop(RATE, decay=0.9))
    state = optimizer.init(eqx.filter(network, eqx.is_array))

    @eqx.filter_jit
    def step(network, state, x, k):
        value, gradient = eqx.filter_value_and_grad(cost)(network, x, k)
        change, state = optimizer.update(gradient, state)
        return eqx.apply_updates(network, change), state, value

    held = [network, state]

    def update():
        held[0], held[1], value = step(*held, x, k)
        return float(value)

    return update


def equinox_outputs(network, x):
    """Return a network's outputs before the sigmoid, (T, N), for one tune (T, N)."""
    import jax
    import jax.numpy as jnp

    cells, output = network
    h = []
    for cell in cells:
        rows = jnp.concatenate([x, h[-1]], -1) if h else x
        start = (jnp.zeros(cell.hidden_size), jnp.zeros(cell.hidden_size))

        def step(state, row, cell=cell):
            state = cell(row, state)
            return state, state[0]

        h.append(jax.lax.scan(step, start, rows)[1])
    return jax.vmap(output)(jnp.concatenate(h, -1))


def torch_cells(primer, steps, H=120):
    """Return generation as a user of PyTorch writes it: a loop over nn.LSTMCell."""
    import torch

    N = primer.shape[1]
    cells = [torch.nn.LSTMCell(N + H if n else N, H) for n in range(3)]
    output = torch.nn.Linear(3 * H, N)
    primer = torch.from_numpy(primer)

    @torch.no_grad()
    def generate():
        states = [(torch.zeros(1, H), torch.zeros(1, H))] * 3
        tune = []
        for t in range(len(primer) + steps - 1):
            x = primer[t : t + 1] if t < len(primer) else tune[-1]
            h = []
            for n, cell in enumerate(cells):
                states[n] = cell(torch.cat([x, h[-1]], -1) if n else x, states[n])
                h.append(states[n][0])
            y = torch.sigmoid(output(torch.cat(h, -1)))
            tune.append((torch.rand(1, N) < y).float())
        return torch.cat(tune[-steps:]).numpy()

    return generate
