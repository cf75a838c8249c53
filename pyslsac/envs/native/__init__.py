"""Safety-Gymnasium's tasks, batched: persistent MuJoCo simulations stepped by threads, everything else in arrays.

Needs mujoco, gymnasium and numpy alone. `tasks.make` gives n environments as arrays; `pyslsac.envs.make_vec` and
`gymnasium.make("pyslsac/<task>")` put Gymnasium's interfaces around them.
"""
