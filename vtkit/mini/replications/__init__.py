"""The miniature for other replications' recipes. In reading order:

figures       geometry figures, two rods on the floor
problems      counting, geometry and arithmetic in the words of R1-V, Journey and Open-R1
files         their parquet files
chat_styles   shares of prompts and answer styles
chats         the chats that the instruct miniature is tuned on
instruct      the instruct miniature: the base, tuned on chats
text          the scenes in words, for DeepSeek-R1-Zero
text_base     the text-only base
"""
