"""The miniature for other replications' recipes. In reading order:

figures       geometry figures, two rods on the floor
problems      counting, geometry and arithmetic in the words of R1-V, Journey and Open-R1
files         their parquet files
recognition   questions of a kind that SAT and CV-Bench do not ask
chat_styles   shares of subjects, prompts and answer styles
wordings      the sentences of an answer
chats         the chats that the instruct miniature is tuned on
instruct      the instruct miniature: the base, tuned on chats
text          the scenes in words, for DeepSeek-R1-Zero
text_base     the text-only base
"""
