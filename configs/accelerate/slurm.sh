#!/bin/bash
# Two nodes of 8 GPUs under SLURM:  sbatch configs/accelerate/slurm.sh --recipe visualthinker --profile paper
# Submit it again after a time limit: it resumes from the last checkpoint. Follow it from any machine that sees the run folder:
# notebook 03 draws the same plot from metrics.csv.
#SBATCH --job-name=vtkit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1        # one launcher a node; it starts one process a GPU
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --output=vtkit-%j.log
set -euo pipefail

gpus_per_node=8
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts%%$'\n'*}  # the first node, to which the others report
processes=$((SLURM_NNODES * gpus_per_node))
# 64 completions a step, shared by all processes, at most 8 (one group) at a time on each.
batch=$((64 / processes < 8 ? 64 / processes : 8))

# \$SLURM_NODEID is read on each node: it is that node's machine_rank.
srun --kill-on-bad-exit=1 bash -c "accelerate launch \
    --config_file configs/accelerate/multi_node.yaml \
    --num_machines $SLURM_NNODES --num_processes $processes --machine_rank \$SLURM_NODEID \
    --main_process_ip $head --main_process_port 29500 \
    -m vtkit.training -p per_device_batch_size $batch ${*@Q}"
