B
next_stateJúU½kX?'—>~4é¾