B
next_stateJY^‘½Æ¯?r¢‰>3Üü¾