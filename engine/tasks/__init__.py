"""What is asked of a model: chips to batches, scores to results. Pure arithmetic."""
