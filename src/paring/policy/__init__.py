"""The model that is trained: its tokens, its packed batches, its log-probs."""
