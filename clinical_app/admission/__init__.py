"""Who may come in, from where, with what: accounts, tokens, origins, limits of uploads."""
