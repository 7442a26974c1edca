"""Plan what a run needs, before it starts: ``python -m vtkit.planning``.

plan         the whole plan as a table: memory by part, time, cost
division     what DDP, ZeRO-2 and FSDP 2 split among processes
memory       bytes of weights, gradients, activations and caches, from the model's shape
disk         bytes that the run folder can need
suggestions  which setting to change when a plan does not fit
"""
