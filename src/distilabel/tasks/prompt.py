"""A prompt in two parts, and the formats that chat models were trained on.

stub, replaced at once
"""
