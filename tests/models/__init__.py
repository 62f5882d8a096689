"""Small explicit-state models of the protocols: every interleaving, lost and late answers, one crash."""
