"""Completions of a model; ``python -m vtkit.sampling`` prepares a vLLM server.

generation        completions of a whole data set, prompts of similar length together
decoding          the token loop
small_decoder     its forward pass for small models on a CPU, in few operations
fused_weights     the layers of that pass, and of one over prompts
sampler           how a token is chosen: greedy, or with the row's own random numbers
prefix_cache      keys and values of prompts, shared by their completions
picture_features  what the vision tower makes of pictures, shared by their copies
resumable         completions that survive a kill
processes         several that share out the rows, and the weights
vllm_engine       the same completions by vLLM, and the folder that it loads
"""
