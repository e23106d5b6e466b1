"""Any module: called by the tensors of an example, captured, and compared at other sizes."""
