"""Models of several families: prompts in, models out.

families    the table: what differs between families; family: what an entry says; layouts: how
            pictures become tokens
prompts     what a question looks like to the model, as chat templates
devices     GPU or CPU, and why
folders     what a model's folder says about it; published: what is known of models of the hub
processors  processors without the part that needs torchvision
loading     model and processor of a folder or a hub id
inputs      questions with pictures as padded tensors
adapters    which weights train: all, one part, LoRA or QLoRA
shapes      sizes of a model without its weights
"""
