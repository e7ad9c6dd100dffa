"""Tables: read, checked, labelled and split."""
