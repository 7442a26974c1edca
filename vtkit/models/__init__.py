"""Qwen2-VL and text-only Qwen2: prompts in, models out.

prompts   what a question looks like to the model, as chat templates
devices   GPU or CPU, and why
loading   model and processor of a folder or a hub id
inputs    questions with pictures as padded tensors
adapters  which weights train: all, one part, LoRA or QLoRA
shapes    sizes of a model without its weights
"""
