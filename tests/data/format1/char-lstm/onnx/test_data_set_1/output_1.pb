B
next_stateJ “ø¶ëç<,QHæÉ¡xæ¥ÉaøÊ=ø=≈•æpKø