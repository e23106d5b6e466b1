"""Our own networks, which ``train`` makes: their files, their loops, and the checks of both."""
