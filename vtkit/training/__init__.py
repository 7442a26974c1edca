"""GRPO and its supervised baseline, through TRL: ``python -m vtkit.training``.

train             the stages of a run, in order
arguments         RunConfig to TRL's arguments
trainers          TRL's trainers, with stored rollouts and exact resume
callbacks         metrics.csv, benchmark scores, checkpoints, progress
batches           rows of TRL's scored batches
shared_prompts    reads each prompt once for all of its completions
dynamic_sampling  spare prompts for groups whose rewards are all equal
cold_start        supervised steps before the first GRPO step
symptoms          signs of a training that goes wrong, each with cause and remedy
divergence        stops where numbers are nan or infinite
exact_resume      a resumed run ends as an unbroken one
vllm_rollouts     rollouts by vLLM
vllm_weights      the weights that vLLM samples with
launch            several GPUs, followed from a notebook
trackers          TensorBoard, Weights & Biases, Trackio
model_card        the model card, and its upload
"""
