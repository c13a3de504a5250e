"""What people wrote: reviews, answers to labels, second looks, signed reports, worklist."""
